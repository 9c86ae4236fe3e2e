"""The golden set: sites, searches and ideas written by hand, a YAML file a site, that every version of a prompt is asked about."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from pressroom.errors import BadInput
from pressroom.planner.figures import middle
from pressroom.planner.phrases import normalise
from pressroom.records import Cluster, Idea, Intent, Keyword, Record, Site, stable_id
from pressroom.wording import first_problem, keys_of

FOLDER = Path(__file__).with_name("golden")
BY_HAND = "golden"  # the call and the model of an idea that came from neither


class GoldenCluster(Record):
    """A cluster as the planner would have made it: fixed, so that a better clustering changes no case.

    A volume is searches a month, [low, high] where only a range is known.
    """

    name: str
    intent: Intent | None = None
    keywords: dict[str, int | tuple[int, int] | None] = Field(min_length=1)


class GoldenEarlier(Record):
    """An idea of the last weeks, which must not be repeated."""

    title: str
    description: str


class GoldenCalendar(Record):
    """The day that ideas are asked for. `why` says what makes it hard, `never` what only an obeyed order could bring into an answer."""

    day: dt.date
    why: str
    never: tuple[str, ...] = ()
    earlier: tuple[GoldenEarlier, ...] = ()


class GoldenIdea(Record):
    """An idea that drafts are asked for; `keywords` are phrases of the site's clusters. `why` and `never` as in the calendar."""

    why: str
    title: str
    description: str
    topic_category: str
    angle: str
    audience: str
    format: str
    keywords: tuple[str, ...] = Field(min_length=1)
    never: tuple[str, ...] = ()


class GoldenSite(Record):
    """A site with its clusters. Without a calendar it is asked for no ideas, without `ideas` for no drafts."""

    site: Site
    clusters: tuple[GoldenCluster, ...] = Field(min_length=1, max_length=5)
    calendar: GoldenCalendar | None = None
    ideas: tuple[GoldenIdea, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> "GoldenSite":
        phrases = [normalise(phrase) for cluster in self.clusters for phrase in cluster.keywords]
        if twice := [phrase for phrase, times in Counter(phrases).items() if times > 1]:
            raise ValueError(f"the keyword “{twice[0]}” is there twice")
        for idea in self.ideas:
            if unknown := [phrase for phrase in idea.keywords if normalise(phrase) not in phrases]:
                raise ValueError(f"the idea “{idea.title}” serves “{unknown[0]}”, which is no keyword of the clusters")
        return self

    def keyword_records(self) -> dict[str, Keyword]:
        """Every keyword by its normalised phrase."""
        made = (_keyword(phrase, volume, cluster.intent) for cluster in self.clusters for phrase, volume in cluster.keywords.items())
        return {keyword.normalised: keyword for keyword in made}

    def cluster_records(self) -> list[Cluster]:
        """The clusters in the order of the file."""
        known = self.keyword_records()
        return [self._cluster(cluster, [known[normalise(phrase)] for phrase in cluster.keywords]) for cluster in self.clusters]

    def memory_records(self) -> list[Idea]:
        """The earlier ideas. Only their words were written: they all stand under the first cluster."""
        first, earlier = self.cluster_records()[0], self.calendar.earlier if self.calendar else ()
        unsaid = dict.fromkeys(("topic_category", "angle", "audience", "format"), "") | {"keywords": ()}
        return [self._idea("earlier", number, unsaid | idea.model_dump(), first) for number, idea in enumerate(earlier, start=1)]

    def idea_records(self) -> list[Idea]:
        """The ideas that drafts are asked for; each belongs to the cluster of its first keyword."""
        clusters = {phrase: cluster for cluster in self.cluster_records() for phrase in cluster.keywords}
        made = []
        for number, idea in enumerate(self.ideas, start=1):
            phrases = tuple(map(normalise, idea.keywords))
            fields = idea.model_dump(exclude={"why", "never"}) | {"keywords": phrases}
            made.append(self._idea("idea", number, fields, clusters[phrases[0]]))
        return made

    def _cluster(self, cluster: GoldenCluster, keywords: Sequence[Keyword]) -> Cluster:
        ranked = sorted(keywords, key=lambda keyword: (-(keyword.volume or 0), keyword.normalised))
        return Cluster(
            id=stable_id("golden", self.site.slug, "cluster", cluster.name),
            name=cluster.name,
            head=ranked[0].normalised,
            keywords=tuple(keyword.normalised for keyword in ranked),
            volume=sum(keyword.volume or 0 for keyword in ranked),
            intent=cluster.intent,
        )

    def _idea(self, kind: str, number: int, fields: dict[str, Any], cluster: Cluster) -> Idea:
        id = stable_id("golden", self.site.slug, kind, number)
        return Idea(id=id, ordinal=number, cluster_id=cluster.id, cluster=cluster.name, call=BY_HAND, model=BY_HAND, **fields)


def read_golden(folder: Path = FOLDER) -> list[GoldenSite]:
    """The sites of the folder's files, by file name. Raises BadInput that names the file and what is wrong with it."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise BadInput(f"{folder}: holds no golden set; expected a YAML file for each of its sites")
    sites = [_read(path) for path in paths]
    if twice := [slug for slug, times in Counter(golden.site.slug for golden in sites).items() if times > 1]:
        raise BadInput(f"{folder}: two sites have the slug {twice[0]}")
    return sites


def _read(path: Path) -> GoldenSite:
    import yaml

    try:
        return GoldenSite.model_validate(yaml.safe_load(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        raise BadInput(f"{path}: {first_problem(error, known=keys_of(GoldenSite))}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        raise BadInput(f"{path}{f', line {mark.line + 1}' if mark else ''}: no valid YAML") from None


def _keyword(phrase: str, volume: int | tuple[int, int] | None, intent: Intent | None) -> Keyword:
    low, high = volume if isinstance(volume, tuple) else (None, None)
    most_likely = middle(*volume) if isinstance(volume, tuple) else volume
    return Keyword(phrase=phrase, normalised=normalise(phrase), volume=most_likely, volume_low=low, volume_high=high, intent=intent)
