"""Import transactions: each has a unique id, a positive amount and a known entity."""

from typing import Any

from fields import Cells, Rejected, cents, entity, identifier, moment, one_of, text
from importing import Importer, main
from records import Record

CURRENCIES = ("USD", "EUR", "PEN", "CNY", "AED")


class Transactions(Importer):
    """Imports transactions, one per row."""

    columns = (
        "external_id", "entity_tax_id", "booked_at", "amount", "currency", "direction", "counterparty",
        "description",
    )  # fmt: skip
    entity_column = "entity_tax_id"
    table = """
        CREATE TABLE IF NOT EXISTS transactions (
            external_id TEXT PRIMARY KEY, entity_tax_id TEXT, booked_at TEXT, amount_cents INTEGER,
            currency TEXT, direction TEXT, counterparty TEXT, description TEXT, job_id TEXT,
            row_number INTEGER) WITHOUT ROWID"""
    # The no-op update reports a changed row only if the existing row is this job's own earlier write of this row.
    insert = """
        INSERT INTO transactions VALUES (:external_id, :entity_tax_id, :booked_at, :amount_cents, :currency,
            :direction, :counterparty, :description, :job_id, :row_number)
        ON CONFLICT DO UPDATE SET row_number = row_number
            WHERE job_id = excluded.job_id AND row_number = excluded.row_number"""

    def name(self, record: Record) -> dict[str, str]:
        """Returns the id that the uploader gave to the transaction."""
        return {"externalId": record.cells["external_id"]}

    def validate(self, cells: Cells) -> dict[str, Any]:
        """Validate every cell."""
        return {
            "external_id": identifier(cells, "external_id"),
            "entity_tax_id": entity(cells, "entity_tax_id", self.known),
            "booked_at": moment(cells, "booked_at"),
            "amount_cents": cents(cells, "amount"),
            "currency": one_of(CURRENCIES, cells, "currency"),
            "direction": one_of(("credit", "debit"), cells, "direction"),
            "counterparty": text(cells, "counterparty"),
            "description": cells["description"],
        }

    def store(self, values: dict[str, Any]) -> None:
        """Store the transaction, once per id: the first row with an id wins."""
        if not self.database.execute(self.insert, values).rowcount:
            raise Rejected("DUPLICATE_EXTERNAL_ID", "another transaction has this id")


if __name__ == "__main__":
    main(Transactions)
