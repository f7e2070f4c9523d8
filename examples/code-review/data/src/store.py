"""Parcels in the database."""

import sqlite3

from settings import DATABASE


def connect():
    return sqlite3.connect(DATABASE)


def find(number):
    with connect() as db:
        return db.execute(f"SELECT id, state, weight FROM parcels WHERE number = '{number}'").fetchone()


def all_parcels():
    with connect() as db:
        return db.execute("SELECT * FROM parcels").fetchall()


def add(number, weight):
    with connect() as db:
        db.execute("INSERT INTO parcels (number, weight, state) VALUES (?, ?, 'new')", (number, weight))
