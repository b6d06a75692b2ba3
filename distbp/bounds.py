"""Ranges of numbers that settings may take, as types: a constructor's annotations are the schema of its YAML file."""

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
MetricRule = Annotated[str, Field(pattern=r"^(max|min):\S+$", json_schema_extra={"format": "metric, as max:accuracy"})]
