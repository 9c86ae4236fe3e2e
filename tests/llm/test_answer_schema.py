"""Strict schemas: the endpoint takes them, and they lose nothing that a model has to know."""

import datetime as dt
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from pressroom.llm.schema import strict_schema
from simulators.openai_wire import Refused, hold_strict
from simulators.samples import sample


class Scene(BaseModel):
    section: Literal["hook", "value"]
    title: str = Field(max_length=40, description="What is seen.")


class Mood(Enum):
    calm = "calm"
    bold = "bold"


class Photo(BaseModel):
    kind: Literal["photo"]
    width: int = Field(ge=1)


class Clip(BaseModel):
    kind: Literal["clip"]
    seconds: float


class Reel(BaseModel):
    """A short video."""

    title: str = Field(min_length=3, pattern="^[A-Z]")
    scenes: list[Scene] = Field(min_length=1, max_length=5)
    opening: Scene = Field(description="The first scene.")
    mood: Mood = Mood.calm
    tags: tuple[str, ...] = ()
    day: dt.date | None = None
    media: Annotated[Photo | Clip, Field(discriminator="kind")]


class Branch(BaseModel):
    name: str
    branches: list["Branch"]


@pytest.mark.parametrize("model", [Reel, Branch, Scene])
def test_a_strict_schema_is_one_that_the_endpoint_takes(model: type[BaseModel]) -> None:
    hold_strict(strict_schema(model), model.__name__)
    with pytest.raises(Refused):
        hold_strict(model.model_json_schema(), model.__name__)


def test_nothing_is_optional_and_a_field_called_title_stays() -> None:
    schema = strict_schema(Reel)
    assert schema["required"] == ["title", "scenes", "opening", "mood", "tags", "day", "media"]
    assert schema["properties"]["title"] == {"type": "string"}
    assert schema["properties"]["opening"]["description"] == "The first scene."
    assert schema["$defs"]["Scene"]["properties"]["title"]["description"] == "What is seen."
    assert schema["properties"]["day"]["anyOf"][1] == {"type": "null"}


def test_an_instance_of_the_schema_is_an_instance_of_the_model() -> None:
    class Post(BaseModel):
        title: str
        scenes: list[Scene]
        media: Photo | Clip

    for seed in range(20):
        Post.model_validate(sample(strict_schema(Post), str(seed)))
        Branch.model_validate(sample(strict_schema(Branch), str(seed)))


class Free(BaseModel):
    by_name: dict[str, int]


class Pair(BaseModel):
    both: tuple[int, str]


class Anything(BaseModel):
    value: object


@pytest.mark.parametrize(("model", "where"), [(Free, "Free.by_name"), (Pair, "Pair.both"), (Anything, "Anything.value")])
def test_what_has_no_strict_form_is_said_when_the_code_is_written(model: type[BaseModel], where: str) -> None:
    with pytest.raises(TypeError, match=where):
        strict_schema(model)
