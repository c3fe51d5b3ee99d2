"""The request body of the control route (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import fields, validate

from batchstatus.model.job import Action
from batchstatus.model.kinds import Kinds
from batchstatus.schemas.fields import KindName, RequestSchema, about


class ControlSchema(RequestSchema):
    """The body of a control request. Unknown members and kinds are rejected."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"kind": "transaction_batch", "action": "cancel"}

    kind = KindName(required=True, metadata=about("The job's kind, so that nothing else is meant."))
    action = fields.String(
        required=True, validate=validate.OneOf([*Action]), metadata=about("What the worker shall do.")
    )

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self.fields["kind"].one_of(kinds.names)  # type: ignore[attr-defined]
