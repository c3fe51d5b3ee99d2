"""Import products: a kind of one's own, declared in kinds.toml. A product that is known already is skipped."""

from typing import Any

from fields import Cells, Rejected, Skipped, cents, identifier, text
from importing import Importer, main
from records import Record


class Products(Importer):
    """Imports products, one per SKU."""

    columns = ("sku", "name", "price")
    table = """
        CREATE TABLE IF NOT EXISTS products (
            sku TEXT PRIMARY KEY, name TEXT, cents INTEGER, job_id TEXT, row_number INTEGER)"""
    insert = "INSERT OR IGNORE INTO products VALUES (:sku, :name, :cents, :job_id, :row_number)"

    def name(self, record: Record) -> dict[str, str | None]:
        """Returns the SKU, None where the file has none."""
        return {"sku": record.cells.get("sku") or None}

    def validate(self, cells: Cells) -> dict[str, Any]:
        """Validate every cell."""
        return {
            "sku": identifier(cells, "sku"),
            "name": text(cells, "name"),
            "cents": cents(cells, "price"),
        }

    def store(self, values: dict[str, Any]) -> None:
        """Store the product; one that this row of this job has stored before is stored."""
        self.database.execute(self.insert, values)
        found = "SELECT job_id, row_number FROM products WHERE sku = ?"
        job_id, row_number = self.database.execute(found, (values["sku"],)).fetchone()
        if job_id != self.job_id:
            raise Skipped("SKIPPED_PRODUCT_EXISTS", "the product is known already")
        if row_number != values["row_number"]:
            raise Rejected("DUPLICATE_SKU", f"row {row_number} of this file has this sku")


if __name__ == "__main__":
    main(Products)
