"""What a capable model would answer: real ideas and drafts within the rules, for the simulated endpoint."""

import json
import re
from typing import Any

from simulators.openai_wire import Asked

SIDES = ["prices", "mistakes", "first steps", "tools", "timing", "comparison", "myths"]


def answers(asked: Asked) -> dict[str, Any]:
    """A document for each of the schemas that a day's run asks for."""
    fields = asked.schema["properties"].keys()
    if "ideas" in fields:
        return {"ideas": _ideas(asked)}
    title, keyword = _block(asked, "idea")["title"], _block(asked, "keyword")["phrase"]
    if "posts" in fields:
        return {"posts": [f"{keyword}: {title[:120]}. What would you add?", "Start small, measure, and write down what changes."]}
    if "hook" in fields:
        spoken = f"Three things decide about {keyword}. " + "Look at what you use every week and leave the rest for later. " * 7
        section = [{"section": name, "description": f"A hand shows {keyword}"} for name in ("hook", "value", "call_to_action")]
        hook = f"Do you really know what {keyword} means for you at home every day?"
        action = "Save this for your next purchase, and tell us in a comment what you found out about it."
        return {"hook": hook, "value": spoken, "call_to_action": action, "scenes": section, "caption": f"{title}. What is your experience?"}
    paragraph = (
        f"When people look for {keyword}, they rarely ask for a product. They ask for a decision that holds for years to come, at home. "
    )
    return {
        "text": f"{title}\n\n{paragraph * 4}\n\n{paragraph * 4}",
        "key_points": [f"Know what {keyword} is for", "Compare before you decide"],
    }


def _ideas(asked: Asked) -> list[dict[str, Any]]:
    wanted = int(re.search(r"Ideas wanted: (\d)", asked.input)[1])  # type: ignore[index]
    clusters = _block(asked, "clusters")
    found = []
    for number in range(wanted):
        cluster = clusters[number % len(clusters)]
        phrases = [keyword["phrase"] for keyword in cluster["keywords"]]
        side = SIDES[(number + len(asked.input)) % len(SIDES)]
        found.append(
            {
                "title": f"{phrases[0].capitalize()}: {side} that matter",
                "description": f"A look at {side} around {', '.join(phrases[:3])}. Readers can act on it the same day.",
                "topic_category": "advice",
                "cluster": cluster["number"],
                "keywords": phrases[:3],
                "angle": side,
                "audience": "people who decide",
                "format": "guide",
            }
        )
    return found


def _block(asked: Asked, name: str) -> Any:
    text = re.search(rf'<data name="{name}">(.*?)</data>', asked.input, re.DOTALL)  # of several, the first
    assert text, f"no block {name} in the input"
    return json.loads(text[1])
