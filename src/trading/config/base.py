"""What every section is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    # What was given may be a secret, and an error that is shown with its cause would repeat it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
