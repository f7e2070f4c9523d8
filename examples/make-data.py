#!/usr/bin/env python3
"""Writes the made-up data of the examples: python3 examples/make-data.py

Always the same files: the noise comes from a fixed seed, and nothing else is random. The data of `incident-response` is made by
`cargo run -p convoke-testkit --example make-incident`.
"""

import csv
import datetime
import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent


def table(path, head, rows):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def lines(path, objects):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in objects))


def text(path, body):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body.lstrip("\n"))


def security_audit():
    root = "security-audit/data"
    text(f"{root}/README.md", """
# Release review: ledger-api 3.2

`ledger-api` keeps the balances of customers and goes live with version 3.2 tomorrow. The material:

- `inventory.csv`: components of the release, from where each can be reached, and what data it handles
- `dependencies.csv`: packages in each component as built, and whether a request can reach their code
- `advisories.jsonl`: what the scanner knows of those packages
- `access.csv`: accounts with rights on production
- `config/`: settings as they will be deployed
- `policy.md`: the rules of the house
""")
    text(f"{root}/policy.md", """
# Rules for releases

- R1 A component that can be reached from the internet must not be released with a critical vulnerability in code that a request can reach.
- R2 A high vulnerability may be released if a date within 14 days is set for its removal.
- R3 Accounts of people with write access to production need a second factor.
- R4 Accounts that were not used for 90 days are switched off.
- R5 Debug output is off in production.
- R6 A release that breaks R1 is not released. Other breaches are conditions.
""")
    parts = [
        ("ledger-api", "internet", "balances"), ("statement-renderer", "internet", "statements"), ("ledger-db", "internal", "balances"),
        ("batch-import", "internal", "payments"), ("admin-console", "vpn", "balances"), ("metrics-agent", "internal", "none"),
    ]
    table(f"{root}/inventory.csv", ["component", "reachable_from", "data"], parts)
    names = ["http-core", "json-fast", "xml-reader", "pdf-writer", "tls-kit", "log-format", "pool", "zip-lite", "uuid-gen", "retry", "orm-mini", "font-pack", "csv-in"]
    chance = random.Random(7)
    rows = []
    for name, _, _ in parts:
        for package in sorted(chance.sample(names, 8)):
            rows.append([name, package, f"{1 + names.index(package) % 3}.{names.index(package) % 5}.{chance.randint(0, 3)}", chance.choice(["yes", "yes", "no"])])
    rows = [row for row in rows if (row[0], row[1]) not in {("statement-renderer", "xml-reader"), ("batch-import", "xml-reader"), ("ledger-api", "zip-lite"), ("admin-console", "zip-lite")}]
    rows += [["statement-renderer", "xml-reader", "3.2.1", "yes"], ["batch-import", "xml-reader", "3.2.1", "yes"], ["admin-console", "zip-lite", "2.2.0", "no"], ["ledger-api", "zip-lite", "2.2.4", "yes"]]
    table(f"{root}/dependencies.csv", ["component", "package", "version", "reachable_code"], sorted(rows))
    lines(f"{root}/advisories.jsonl", [
        {"id": "ADV-1107", "package": "zip-lite", "affected": ["2.2.0", "2.2.1"], "fixed_in": "2.2.3", "severity": "critical", "what": "a crafted archive writes outside its folder", "exploit": "public"},
        {"id": "ADV-1131", "package": "xml-reader", "affected": ["3.2.0", "3.2.1"], "fixed_in": "3.2.2", "severity": "critical", "what": "external entities are resolved, so a document can read local files", "exploit": "public"},
        {"id": "ADV-1140", "package": "retry", "affected": ["1.4.0", "1.4.1", "1.4.2", "1.4.3"], "fixed_in": "1.5.0", "severity": "low", "what": "waits are not random", "exploit": "none"},
        {"id": "ADV-1152", "package": "tls-kit", "affected": ["2.4.0", "2.4.1"], "fixed_in": "2.4.2", "severity": "high", "what": "a certificate that was called back is accepted for an hour", "exploit": "none"},
        {"id": "ADV-1166", "package": "http-core", "affected": ["1.0.0"], "fixed_in": "1.0.1", "severity": "medium", "what": "long headers cost much time", "exploit": "proof of concept"},
    ])
    people = []
    for number in range(1, 29):
        kind = "service" if number % 4 == 0 else "person"
        used = datetime.date(2026, 11, 18) - datetime.timedelta(days=chance.choice([0, 1, 2, 5, 9, 30]) if number not in (9, 22) else 140 + number)
        people.append([f"{'svc' if kind == 'service' else 'u'}-{number:02}", kind, chance.choice(["read", "write", "write", "admin"]), "no" if kind == "service" or number == 13 else "yes", used.isoformat()])
    people[12][2] = "write"
    table(f"{root}/access.csv", ["account", "kind", "right", "second_factor", "last_used"], people)
    text(f"{root}/config/ledger-api.yaml", """
listen: 0.0.0.0:8443
tls: {min_version: "1.2"}
debug: false
rate_limit: {per_minute: 600}
""")
    text(f"{root}/config/statement-renderer.yaml", """
listen: 0.0.0.0:8444
tls: {min_version: "1.2"}
debug: true
upload: {max_mb: 20, types: [xml, csv]}
""")


def data_pipeline():
    root = "data-pipeline/data"
    chance = random.Random(11)
    text(f"{root}/README.md", """
# The daily revenue pipeline

Five shops deliver their orders every night. `load` writes them to `orders.csv` as they come, `report` sums them up in euros to `report.csv` (amount / rate of the day). On 20 November finance
said that the revenue of the last days cannot be right.

- `runs.csv`: every run of the two jobs
- `orders.csv`: the orders as loaded; `amount` is in the currency of the shop
- `rates.csv`: units of a currency for one euro
- `report.csv`: what finance sees
- `contracts.csv`: what the shops said about the form of their files, and when
""")
    shops = {"shop-de": ("EUR", 62), "shop-fr": ("EUR", 55), "shop-se": ("SEK", 640), "shop-dk": ("DKK", 450), "shop-pl": ("PLN", 240)}
    rates = {"EUR": 1.0, "SEK": 11.4, "DKK": 7.46, "PLN": 4.27}
    first = datetime.date(2026, 11, 1)
    orders, runs, report, rate_rows, number = [], [], [], [], 50_000
    for day in range(19):
        date = first + datetime.timedelta(days=day)
        counts = {}
        for shop, (currency, mean) in shops.items():
            for _ in range(chance.randint(5, 9)):
                number += 1
                amount = round(chance.lognormvariate(0, 0.35) * mean, 2)
                minor = shop == "shop-se" and day >= 13
                shown = str(round(amount * 100)) if minor else f"{amount:.2f}"
                orders.append([number, date.isoformat(), shop, currency, shown])
                counts.setdefault(shop, []).append(float(shown) / rates[currency])
        for currency, rate in rates.items():
            rate_rows.append([date.isoformat(), currency, rate])
        rows = sum(len(one) for one in counts.values())
        runs.append([f"load-{date}", "load", date.isoformat(), "02:00", f"02:0{chance.randint(2, 4)}", "ok", rows, rows])
        again = day == 8
        if again:
            runs.append([f"report-{date}", "report", date.isoformat(), "03:00", "03:01", "failed", rows, 0])
        runs.append([f"report-{date}{'-2' if again else ''}", "report", date.isoformat(), "03:20" if again else "03:00", "03:22" if again else "03:02", "ok", rows, len(shops)])
        for shop, values in counts.items():
            report.append([date.isoformat(), shop, len(values), round(sum(values), 2)])
    table(f"{root}/orders.csv", ["order_id", "day", "shop", "currency", "amount"], orders)
    table(f"{root}/rates.csv", ["day", "currency", "per_eur"], rate_rows)
    table(f"{root}/runs.csv", ["run", "job", "day", "started", "ended", "status", "rows_in", "rows_out"], runs)
    table(f"{root}/report.csv", ["day", "shop", "orders", "revenue_eur"], report)
    table(f"{root}/contracts.csv", ["day", "shop", "version", "note"], [
        ["2026-06-01", "shop-de", 3, "amounts with VAT"], ["2026-09-12", "shop-pl", 2, "file name ends with the day"],
        ["2026-11-10", "shop-fr", 5, "a column for gift wrap, at the end"], ["2026-11-14", "shop-se", 4, "amount as a whole number of minor units"],
        ["2026-11-16", "shop-dk", 4, "compressed with zstd"],
    ])


def data_analysis():
    root = "data-analysis/data"
    chance = random.Random(23)
    text(f"{root}/notes.md", """
# Notes on sales.csv

One line an order or a refund, Q2 and Q3 of 2026.

- `kind`: `sale` or `refund`. **Net revenue is sales minus refunds**; the amount of a refund is positive.
- `channel = test` are orders of our own staff. They do not count.
- A refund counts in the month in which it was paid, not in that of its order.
""")
    regions = {"north": (110, 1.0), "south": (120, 0.90), "east": (90, 0.99), "west": (100, 1.02), "islands": (40, 0.95)}
    rows, number = [], 70_000
    for month in range(4, 10):
        for region, (count, change) in regions.items():
            late = month >= 7
            for _ in range(round(count / 3 * (change if late else 1.0))):
                number += 1
                day = datetime.date(2026, month, chance.randint(1, 28))
                channel = chance.choices(["web", "shop", "test"], [60, 37, 3])[0]
                product = chance.choice(["lamp", "desk", "chair", "shelf"])
                price = {"lamp": 45, "desk": 320, "chair": 140, "shelf": 90}[product]
                amount = round(price * chance.uniform(0.9, 1.1), 2)
                rows.append([number, day.isoformat(), region, product, channel, "sale", amount])
                share = 0.30 if region == "east" and late else 0.05
                if channel != "test" and chance.random() < share:
                    number += 1
                    rows.append([number, day.isoformat(), region, product, channel, "refund", amount])
    table(f"{root}/sales.csv", ["id", "day", "region", "product", "channel", "kind", "amount_eur"], sorted(rows, key=lambda row: (row[1], row[0])))


def technical_support():
    root = "technical-support/data"
    chance = random.Random(31)
    text(f"{root}/ticket.md", """
# Ticket T-8812

From: Mira Sand, Birchwood Maps (customer C-2207)
Received: 2026-11-17 09:12 UTC
Subject: Invoice too high, and errors since Thursday

Hello, the invoice for the first half of November is several times what we usually pay, and nothing has changed on our side. Since Thursday our batch also gets error 429 at night.
Please check what you are charging us for, and make the errors stop. We send a map to a ministry on Friday.
""")
    table(f"{root}/customers.csv", ["customer", "name", "plan", "since", "sdk"], [
        ["C-2101", "Kite Weather", "team", "2023-02-01", "3.4.1"], ["C-2207", "Birchwood Maps", "team", "2024-08-15", "3.5.0"],
        ["C-2311", "Portside Freight", "scale", "2022-11-03", "3.4.1"], ["C-2350", "Lumen Transit", "team", "2025-05-20", "3.5.0"], ["C-2412", "Dale Survey", "start", "2025-10-02", "3.3.9"],
    ])
    table(f"{root}/plans.csv", ["plan", "base_eur", "included_calls_per_day", "eur_per_1000_calls", "calls_per_minute"], [["start", 19, 1000, 9.0, 60], ["team", 99, 8000, 7.0, 300], ["scale", 690, 90000, 0.4, 2000]])
    usage, per_day = [], {"C-2101": 6000, "C-2207": 7200, "C-2311": 71000, "C-2350": 5100, "C-2412": 700}
    for day in range(1, 16):
        for customer, mean in per_day.items():
            doubled = day >= 12 and customer in ("C-2207", "C-2350") or (day >= 10 and customer == "C-2350")
            calls = round(mean * chance.uniform(0.93, 1.07) * (3.0 if doubled else 1.0))
            repeated = round(calls * (0.66 if doubled else 0.01))
            usage.append([f"2026-11-{day:02}", customer, calls, repeated, round(repeated * 0.55) if doubled else chance.randint(0, 3)])
    table(f"{root}/usage.csv", ["day", "customer", "calls", "same_request_again", "answers_429"], usage)
    invoices = []
    for customer, plan in {"C-2101": (99, 8000, 7.0), "C-2207": (99, 8000, 7.0), "C-2311": (690, 90000, .4), "C-2350": (99, 8000, 7.0), "C-2412": (19, 1000, 9.0)}.items():
        over = sum(max(0, row[2] - plan[1]) for row in usage if row[1] == customer)
        invoices.append([f"F-{customer[2:]}-11a", customer, "2026-11-01", "2026-11-15", plan[0], round(over / 1000 * plan[2], 2), round(plan[0] + over / 1000 * plan[2], 2)])
    table(f"{root}/invoices.csv", ["invoice", "customer", "from", "to", "base_eur", "calls_over_eur", "total_eur"], invoices)
    table(f"{root}/sdk-releases.csv", ["version", "released", "changed", "place"], [
        ["3.3.9", "2026-06-02", "faster parsing", "parse.ts:88"], ["3.4.1", "2026-09-21", "new regions", "region.ts:12"],
        ["3.5.0", "2026-11-09", "a request is sent again after 200 ms without waiting for its answer", "retry.ts:41"], ["3.5.1", "2026-11-16", "a request is sent again only after its answer failed", "retry.ts:41"],
    ])
    lines(f"{root}/upgrades.jsonl", [
        {"day": "2026-09-25", "customer": "C-2101", "sdk": "3.4.1"}, {"day": "2026-10-01", "customer": "C-2311", "sdk": "3.4.1"},
        {"day": "2026-11-10", "customer": "C-2350", "sdk": "3.5.0"}, {"day": "2026-11-12", "customer": "C-2207", "sdk": "3.5.0"},
    ])
    text(f"{root}/refund-rules.md", """
# Rules for credits

- K1 Calls that a fault of ours has caused are credited in full, without a request, with the next invoice.
- K2 A fault of the SDK is a fault of ours.
- K3 Support may grant credits up to 500 EUR for each customer; above that the head of support decides.
""")
    table(f"{root}/status.csv", ["day", "service", "what"], [["2026-11-03", "tiles", "slow for 12 minutes"], ["2026-11-11", "login", "maintenance"]])


def fraud():
    root = "fraud-investigation/data"
    chance = random.Random(43)
    text(f"{root}/README.md", """
# Stolen cards, November 2026

Since the middle of the month customers report payments that they did not make. The cards were not lost. Somewhere they were copied.

- `payments.csv`: payments of 160 cards; `in_person` is 1 where the card was there
- `reports.csv`: payments that customers reported as not theirs
- `merchants.csv`: who the merchants are
""")
    merchants = [(f"M-{number}", kind) for number, kind in [
        (101, "supermarket"), (102, "supermarket"), (117, "fuel"), (124, "bakery"), (131, "restaurant"), (138, "pharmacy"), (146, "kiosk"),
        (153, "car park"), (160, "cinema"), (168, "clothing"), (175, "hardware"), (182, "book shop"),
    ]]
    online = [("M-801", "electronics online"), ("M-802", "gift cards online"), ("M-803", "travel online")]
    table(f"{root}/merchants.csv", ["merchant", "kind"], merchants + online)
    weights = [60, 30, 22, 25, 14, 12, 9, 6, 5, 8, 6, 5]
    start = datetime.datetime(2026, 11, 1, 8)
    leak_from, leak_to = datetime.datetime(2026, 11, 7), datetime.datetime(2026, 11, 9, 20)
    rows, stolen = [], {}
    for number in range(160):
        card = f"K-{4000 + number * 7}"
        device = f"D-{500 + number}"
        for _ in range(chance.randint(5, 9)):
            at = start + datetime.timedelta(minutes=chance.randint(0, 16 * 1440))
            merchant = chance.choices(merchants, weights)[0][0]
            rows.append([at, card, merchant, round(chance.uniform(3, 90), 2), 1, ""])
            if merchant == "M-153" and leak_from <= at <= leak_to:
                stolen.setdefault(card, at)
        if chance.random() < 0.3:
            rows.append([start + datetime.timedelta(minutes=chance.randint(0, 16 * 1440)), card, chance.choice(online)[0], round(chance.uniform(10, 200), 2), 0, device])
        if number % 8 == 3:
            at = leak_from + datetime.timedelta(minutes=chance.randint(0, 60 * 60))
            rows.append([at, card, "M-153", round(chance.uniform(2, 18), 2), 1, ""])
            stolen.setdefault(card, at)
    rows = sorted(rows)
    frauds = []
    for place, (card, at) in enumerate(sorted(stolen.items(), key=lambda one: one[1])):
        if place % 7 == 6:
            continue
        first = datetime.datetime(2026, 11, 13, 1) + datetime.timedelta(minutes=chance.randint(0, 3 * 1440))
        frauds.append([first, card, "M-802", 1.0, 0, f"D-9{place % 3}"])
        frauds.append([first + datetime.timedelta(minutes=chance.randint(2, 30)), card, chance.choice(online)[0], round(chance.uniform(180, 900), 2), 0, f"D-9{place % 3}"])
    payments, reports = [], []
    for place, (at, card, merchant, amount, person, device) in enumerate(sorted(rows + frauds)):
        payments.append([f"P{place + 1:05}", at.strftime("%Y-%m-%dT%H:%M:%SZ"), card, merchant, f"{amount:.2f}", person, device])
        if [at, card, merchant, amount, person, device] in frauds:
            reports.append([f"P{place + 1:05}", (at + datetime.timedelta(days=chance.randint(1, 4))).strftime("%Y-%m-%d")])
    table(f"{root}/payments.csv", ["payment", "at", "card", "merchant", "amount_eur", "in_person", "device"], payments)
    table(f"{root}/reports.csv", ["payment", "reported"], reports)


def research():
    root = "research-report/data"
    chance = random.Random(59)
    text(f"{root}/README.md", """
# Which hosted database?

We look for a hosted PostgreSQL for a booking system: 400 transactions a second at the peak, 200 GB, 99.9 % available (43 minutes down a month), at most 1,500 USD a month. Four candidates are left.

- `prices.csv`: price lists, per month
- `benchmarks.csv`: our own runs with 200 GB and a load of bookings
- `outages.jsonl`: what their status pages said in the last twelve months
- `survey.csv`: what 90 users answered
""")
    names = ["Alder", "Birch", "Cedar", "Dogwood"]
    table(f"{root}/prices.csv", ["provider", "tier", "vcpu", "storage_gb", "usd_month", "backup_usd_month", "note"], [
        ["Alder", "M", 4, 250, 640, 90, ""], ["Alder", "L", 8, 500, 1180, 170, ""], ["Birch", "pro", 8, 250, 930, 0, "support in English alone"],
        ["Cedar", "std-8", 8, 200, 790, 120, "traffic 0.09 USD per GB"], ["Cedar", "std-16", 16, 400, 1490, 230, "traffic 0.09 USD per GB"], ["Dogwood", "one", 8, 300, 520, 60, ""],
    ])
    speed = {("Alder", "M"): (310, 24), ("Alder", "L"): (560, 15), ("Birch", "pro"): (505, 17), ("Cedar", "std-8"): (455, 31), ("Cedar", "std-16"): (830, 14), ("Dogwood", "one"): (520, 19)}
    rows = []
    for (provider, tier), (tps, p99) in speed.items():
        for run in range(1, 9):
            rows.append([provider, tier, run, round(tps * chance.uniform(0.95, 1.04)), round(p99 * chance.uniform(0.9, 1.25), 1)])
    table(f"{root}/benchmarks.csv", ["provider", "tier", "run", "tps", "p99_ms"], rows)
    outages = []
    for provider, minutes in {"Alder": [12, 8, 31], "Birch": [9, 14], "Cedar": [22, 6, 17, 12], "Dogwood": [95, 140, 41, 210, 66]}.items():
        for place, length in enumerate(minutes):
            outages.append({"day": (datetime.date(2025, 12, 3) + datetime.timedelta(days=61 * place + chance.randint(0, 40))).isoformat(), "provider": provider, "minutes": length, "cause": chance.choice(["storage", "network", "upgrade", "control plane"])})
    lines(f"{root}/outages.jsonl", sorted(outages, key=lambda one: one["day"]))
    mood = {"Alder": 3.9, "Birch": 4.3, "Cedar": 3.4, "Dogwood": 2.8}
    table(f"{root}/survey.csv", ["answer", "provider", "months_used", "satisfied_1_to_5", "would_choose_again"], [
        [number + 1, name, chance.randint(2, 60), score, "yes" if score >= 4 else "no"]
        for number in range(90) for name in [chance.choice(names)] for score in [max(1, min(5, round(chance.gauss(mood[name], 0.9))))]
    ])


def delivery():
    root = "software-delivery/data"
    chance = random.Random(61)
    text(f"{root}/spec.md", """
# Specification: logstat

A shell script that counts answers by status in an access log.

- R1 `logstat.sh FILE` prints one line for each status: the status, a space, how often it occurs; the most frequent first.
- R2 It reads the status from the fifth field of a line; fields are separated by spaces.
- R3 Without an argument, or if the file cannot be read, it writes what is wrong to standard error and ends with 2.
- R4 File names with spaces work.
- R5 A check runs it on `sample.log` and fails if the sum of the counts is not the number of lines.
- R6 A guide says how to run it, with an example of what it prints for `sample.log`.
""")
    rows = []
    for second in range(240):
        status = chance.choices([200, 201, 304, 404, 500, 503], [60, 8, 12, 6, 2, 4])[0]
        rows.append(f"2026-11-20T10:{second // 60:02}:{second % 60:02}Z 10.0.{chance.randint(0, 3)}.{chance.randint(2, 60)} GET /{chance.choice(['cart', 'item', 'search', 'login'])} {status} {chance.randint(80, 9000)}")
    text(f"{root}/sample.log", "\n".join(rows) + "\n")


def patterns():
    root = "patterns/data"
    chance = random.Random(71)
    text(f"{root}/README.md", """
# Release 5.0 of the booking service

The release moves sessions from local memory to a shared cache. The week before it:

- `tests.csv`: tests of the release candidate by module
- `bugs.csv`: what is known and open or mended
- `load.csv`: a load test, minute by minute; the limit for the slowest 1% is 800 ms
- `costs.csv`: what it costs a month, before and after
- `incidents.csv`: incidents of the last year
""")
    table(f"{root}/tests.csv", ["module", "tests", "failed", "flaky"], [["booking", 412, 0, 2], ["payment", 230, 0, 0], ["session", 96, 0, 5], ["search", 180, 0, 1], ["mail", 58, 1, 0]])
    table(f"{root}/bugs.csv", ["bug", "severity", "module", "state", "title"], [
        ["B-310", "high", "session", "open", "a session is lost if the cache node restarts"], ["B-322", "low", "mail", "open", "umlauts in subjects"],
        ["B-325", "medium", "search", "mended", "empty page after sorting"], ["B-331", "high", "payment", "mended", "double click pays twice"], ["B-338", "low", "booking", "open", "wrong time zone in export"],
    ])
    rows = []
    for minute in range(60):
        restart = 40 <= minute <= 43
        rows.append([f"10:{minute:02}", round(380 + 3 * minute + chance.uniform(-12, 12)), round(310 + 2.2 * minute + chance.uniform(-25, 25) + (900 if restart else 0)), chance.randint(160, 190) if restart else chance.randint(0, 2), "cache restart" if minute == 40 else ""])
    table(f"{root}/load.csv", ["minute", "requests_per_s", "p99_ms", "sessions_lost", "event"], rows)
    table(f"{root}/costs.csv", ["item", "before_usd", "after_usd"], [["application servers", 2400, 1600], ["cache", 0, 360], ["traffic", 310, 335]])
    table(f"{root}/incidents.csv", ["day", "what", "cause", "minutes", "customers"], [
        ["2026-02-11", "sessions lost at deploy", "local memory", 14, 3100], ["2026-05-03", "slow search", "index", 50, 900], ["2026-07-19", "sessions lost at deploy", "local memory", 11, 2700],
        ["2026-09-30", "sessions lost at deploy", "local memory", 16, 3900], ["2026-10-22", "mail late", "provider", 120, 400],
    ])


if __name__ == "__main__":
    for make in [security_audit, data_pipeline, data_analysis, technical_support, fraud, research, delivery, patterns]:
        make()
