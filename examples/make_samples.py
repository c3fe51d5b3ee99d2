"""Generate sample files as customers send them: mostly valid, in many scripts, with about 2 % invalid rows.

The same options give the same bytes. Each file has its own random stream, so the number of rows of one file does
not change another.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TypeAlias

from fields import TAX_ID_PREFIXES, check_digit, is_tax_id

Row: TypeAlias = dict[str, str]
Spoil: TypeAlias = Callable[[Row, Row], Row]
"""Makes a valid row invalid; the second argument is an earlier valid row, for duplicates."""

DIRTY = 0.02
START = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES = Path(__file__).parent / "samples"

COMPANIES = (
    "Textiles Andinos", "Minera Ñandú", "Comercial Águila", "Sánchez, Pérez & Hijos", 'Bodega "El Sol"',
    "上海贸易", "شركة النور", "Café Lima ☕", "Cargo 🚀", "Northwind", "Pacific Foods", "Agro Norte",
)  # fmt: skip
FORMS = ("S.A.", "S.A.C.", "S.R.L.", "E.I.R.L.")
GIVEN = ("María", "José", "Lucía", "Íñigo", "伟", "秀英", "محمد", "فاطمة", "Anna", "Liam", "Zoë", "Renée 🌸")
FAMILY = ("Quispe", "Núñez", "O'Brien", "García Márquez", "王", "李", "الحسن", "Smith", "Flores", "Muñoz")
TEXTS = (
    "Invoice", "Rent, March", "Payroll", "Pago de alquiler", "货款", "دفعة", 'so-called "loan"',
    "Loan\npart 2", "=SUM(A1:A9)", "+51 999 111", "-", "@treasury", "",
)  # fmt: skip
DEVICES = ("iPhone", "Pixel 9", "Firefox, Linux", 'TV 55"', "手机", "=1+1", "Tablet\n(shared)", "")
EVENTS = ("login", "login", "login_failed", "password_changed", "device_added", "limit_raised")

TRANSACTION_DIRT: Mapping[str, Spoil] = {
    "no id": lambda row, _: row | {"external_id": ""},
    "formula for an id": lambda row, _: row | {"external_id": f"=HYPERLINK({row['external_id']})"},
    "phone number for an id": lambda row, _: row | {"external_id": "+51999111222"},
    "id of another transaction": lambda row, earlier: row | {"external_id": earlier["external_id"]},
    "same row again": lambda _, earlier: earlier,
    "no entity": lambda row, _: row | {"entity_tax_id": ""},
    "unknown entity": lambda row, _: row | {"entity_tax_id": stranger(row["entity_tax_id"])},
    "mistyped entity": lambda row, _: row | {"entity_tax_id": mistyped(row["entity_tax_id"])},
    "no amount": lambda row, _: row | {"amount": ""},
    "decimal comma": lambda row, _: row | {"amount": row["amount"].replace(".", ",")},
    "word for an amount": lambda row, _: row | {"amount": "abc"},
    "negative amount": lambda row, _: row | {"amount": f"-{row['amount']}"},
    "huge amount": lambda row, _: row | {"amount": "9" * 30},
    "amount of nothing": lambda row, _: row | {"amount": "0.00"},
    "impossible day": lambda row, _: row | {"booked_at": "2026-02-30T12:00:00Z"},
    "day first": lambda row, _: row | {"booked_at": "31/01/2026"},
    "no time zone": lambda row, _: row | {"booked_at": row["booked_at"][:19]},
    "no time": lambda row, _: row | {"booked_at": ""},
    "unknown currency": lambda row, _: row | {"currency": "@@@"},
    "no counterparty": lambda row, _: row | {"counterparty": " "},
    "comma not quoted": lambda row, _: row | {"surplus": "Ltd."},
    "row cut short": lambda row, _: dict(list(row.items())[:4]),
}
ENTITY_DIRT: Mapping[str, Spoil] = {
    "tax id of another entity": lambda row, earlier: row | {k: earlier[k] for k in ("tax_id", "type")},
    "same row again": lambda _, earlier: earlier,
    "id of another entity": lambda row, earlier: row | {"external_id": earlier["external_id"]},
    "the other type": lambda row, _: row | {"type": {"person": "company", "company": "person"}[row["type"]]},
    "unknown type": lambda row, _: row | {"type": "trust"},
    "no tax id": lambda row, _: row | {"tax_id": ""},
    "mistyped tax id": lambda row, _: row | {"tax_id": mistyped(row["tax_id"])},
    "formula for a tax id": lambda row, _: row | {"tax_id": f"={row['tax_id']}"},
    "no name": lambda row, _: row | {"name": ""},
    "name of a country": lambda row, _: row | {"country": "Perú"},
    "impossible day": lambda row, _: row | {"onboarded_on": "2025-13-01"},
}
EVENT_DIRT: Mapping[str, Spoil] = {
    "no user": lambda row, _: row | {"user_id": ""},
    "mention for a user": lambda row, _: row | {"user_id": f"@{row['user_id']}"},
    "unknown entity": lambda row, _: row | {"entity_tax_id": stranger(row["entity_tax_id"])},
    "mistyped entity": lambda row, _: row | {"entity_tax_id": mistyped(row["entity_tax_id"])},
    "unknown type": lambda row, _: row | {"type": "teleported"},
    "impossible hour": lambda row, _: row | {"occurred_at": "2026-03-01T25:00:00Z"},
    "no time": lambda row, _: row | {"occurred_at": ""},
    "impossible address": lambda row, _: row | {"ip": "10.0.0.256"},
}
PRODUCT_DIRT: Mapping[str, Spoil] = {
    "no sku": lambda row, _: row | {"sku": ""},
    "formula for a sku": lambda row, _: row | {"sku": f"={row['sku']}"},
    "sku of another product": lambda row, earlier: row | {"sku": earlier["sku"]},
    "no name": lambda row, _: row | {"name": " "},
    "decimal comma": lambda row, _: row | {"price": row["price"].replace(".", ",")},
}


def main() -> None:
    """Write the sample files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SAMPLES, help="the directory to write to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transactions", type=int, default=20_000)
    parser.add_argument("--entities", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--products", type=int, default=1_000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    make(args.out, args.seed, args.transactions, args.entities, args.events, args.products)


def make(out: Path, seed: int, transactions: int, entities: int, events: int, products: int = 1_000) -> None:
    """Write the given numbers of rows. Valid transactions and events refer to the generated entities."""
    rng = Random(f"{seed} entities")
    people = list(spoiled(entity_rows(rng, entities), ENTITY_DIRT, rng))
    tax_ids = [row["tax_id"] for row in people if is_tax_id(row["tax_id"])]
    write(out / "entities.csv", people, byte_order_mark=True)
    rng = Random(f"{seed} transactions")
    rows = transaction_rows(rng, transactions, tax_ids)
    write(out / "transactions.csv", spoiled(rows, TRANSACTION_DIRT, rng))
    rng = Random(f"{seed} events")
    rows = event_rows(rng, events, tax_ids)
    write(out / "user_events.csv", spoiled(rows, EVENT_DIRT, rng))
    rng = Random(f"{seed} products")
    write(out / "products.csv", spoiled(product_rows(rng, products), PRODUCT_DIRT, rng))


def entity_rows(rng: Random, count: int) -> Iterator[Row]:
    """Yield valid entities."""
    for number in range(1, count + 1):
        type_ = rng.choice(("company", "person"))
        pair = (COMPANIES, FORMS) if type_ == "company" else (GIVEN, FAMILY)
        yield {
            "external_id": f"E-{number:05}",
            # 7919 and 80,000,000 have no common factor, so no serial number repeats.
            "tax_id": tax_id(TAX_ID_PREFIXES[type_], 10_000_000 + number * 7919 % 80_000_000),
            "type": type_,
            "name": " ".join(map(rng.choice, pair)),
            "country": rng.choice(("PE", "PE", "PE", "ES", "CN", "AE")),
            "onboarded_on": str(date(2015, 1, 1) + timedelta(days=rng.randrange(4000))),
        }


def transaction_rows(rng: Random, count: int, tax_ids: Sequence[str]) -> Iterator[Row]:
    """Yield valid transactions: many small and few large ones."""
    for number in range(1, count + 1):
        amount = rng.randrange(1, 10 ** rng.randrange(3, 9))
        yield {
            "external_id": f"T-{number:06}",
            "entity_tax_id": rng.choice(tax_ids),
            "booked_at": moment(rng, number),
            "amount": f"{amount // 100}.{amount % 100:02}",
            "currency": rng.choice(("USD", "EUR", "PEN", "CNY", "AED")),
            "direction": rng.choice(("credit", "debit")),
            "counterparty": rng.choice(COMPANIES),
            "description": rng.choice(TEXTS),
        }


def event_rows(rng: Random, count: int, tax_ids: Sequence[str]) -> Iterator[Row]:
    """Yield valid user events."""
    for number in range(1, count + 1):
        ip = f"190.12.{rng.randrange(256)}.{rng.randrange(256)}"
        yield {
            "entity_tax_id": rng.choice(tax_ids),
            "user_id": f"user-{rng.randrange(1500)}",
            "type": rng.choice(EVENTS),
            "occurred_at": moment(rng, number),
            "ip": rng.choice((ip, ip, f"2001:db8::{rng.randrange(65536):x}")),
            "device": rng.choice(DEVICES),
        }


def product_rows(rng: Random, count: int) -> Iterator[Row]:
    """Yield valid products."""
    for number in range(1, count + 1):
        price = rng.randrange(1, 100_000)
        yield {
            "sku": f"SKU-{number:05}",
            "name": f"{rng.choice(DEVICES) or 'Box'} {number}",
            "price": f"{price // 100}.{price % 100:02}",
        }


def moment(rng: Random, number: int) -> str:
    """Returns the time of row `number`, later than those before, in UTC or in Lima's time."""
    when = START + timedelta(minutes=5 * number, seconds=rng.randrange(300))
    return f"{when:%Y-%m-%dT%H:%M:%S}{rng.choice(('Z', 'Z', 'Z', '-05:00'))}"


def tax_id(prefix: str, serial: int) -> str:
    """Returns a well-formed tax id."""
    digits = f"{prefix}{serial:08}"
    return f"{digits}{check_digit(digits)}"


def stranger(known: str) -> str:
    """Returns a well-formed tax id of no entity: the entities' serial numbers are below 90,000,000."""
    return tax_id(known[:2], 90_000_000 + int(known[3:10]))


def mistyped(known: str) -> str:
    """Returns the tax id with a wrong check digit."""
    return f"{known[:-1]}{(int(known[-1]) + 1) % 10}"


def spoiled(rows: Iterable[Row], dirt: Mapping[str, Spoil], rng: Random) -> Iterator[Row]:
    """Yield the rows, a few of them made invalid, with each kind of dirt in turn."""
    kinds = cycle(dirt.values())
    good: list[Row] = []
    for row in rows:
        if good and rng.random() < DIRTY:
            yield next(kinds)(row, rng.choice(good))
        else:
            good.append(row)
            yield row


def write(path: Path, rows: Iterable[Row], *, byte_order_mark: bool = False) -> None:
    """Write a CSV file, with a byte order mark as spreadsheets write it if asked to."""
    with path.open("w", encoding="utf-8-sig" if byte_order_mark else "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, row in enumerate(rows):
            if number == 0:
                writer.writerow(row)
            writer.writerow(row.values())


if __name__ == "__main__":
    main()
