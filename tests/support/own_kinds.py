"""Kinds that an operator declared: products, as examples/kinds.toml has them, beside a published kind."""

from pathlib import Path

from batchstatus import JobKind
from batchstatus.settings import declared_kinds

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS_FILE = EXAMPLES / "kinds.toml"
PRODUCTS = declared_kinds(KINDS_FILE)["product_import"]
PRICES = JobKind(
    name="price_import",
    permission="prices:import",
    path="price-jobs",
    row=["sku", "list"],
    columns={"code": "reason", "list": "price list", "sku": "sku", "message": "what, in words"},
)

ACME, USER = "acme.com", "user@acme.com"
"""Organizations as adopters name them."""

FAILURES, CSV = "/batch-import/product-jobs/{}/failures", "/batch-import/product-jobs/{}/failures.csv"
FAILED = {"sku": "A-7", "code": "VALIDATION_ERROR", "message": "no price"}


def many_kinds(number: int = 32) -> list[JobKind]:
    """Returns so many kinds."""
    columns = {"id": "id", "code": "code", "message": "error"}
    return [JobKind(f"kind_{n}", f"kind:{n}", f"kind-{n}", ["id"], columns) for n in range(number)]
