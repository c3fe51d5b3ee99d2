"""Import transactions: each has an id of its own, a positive amount, and an entity that we know."""

from typing import Any

from fields import Cells, Rejected, cents, entity, identifier, moment, one_of, text
from importing import Importer, main
from records import Record

CURRENCIES = ("USD", "EUR", "PEN", "CNY", "AED")


class Transactions(Importer):
    """Transactions, one row each."""

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
    # The second half changes nothing, but only our own earlier write counts as a row that was changed.
    insert = """
        INSERT INTO transactions VALUES (:external_id, :entity_tax_id, :booked_at, :amount_cents, :currency,
            :direction, :counterparty, :description, :job_id, :row_number)
        ON CONFLICT DO UPDATE SET row_number = row_number
            WHERE job_id = excluded.job_id AND row_number = excluded.row_number"""

    def name(self, record: Record) -> dict[str, str]:
        """The id that the uploader gave it."""
        return {"externalId": record.cells["external_id"]}

    def validate(self, cells: Cells) -> dict[str, Any]:
        """Every cell."""
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
        """Once per id; the first row that has it wins."""
        if not self.database.execute(self.insert, values).rowcount:
            raise Rejected("DUPLICATE_EXTERNAL_ID", "another transaction has this id")


if __name__ == "__main__":
    main(Transactions)
