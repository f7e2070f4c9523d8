"""Asks the carrier where parcels are."""

import time

import requests

from settings import ACCESS_TOKEN, CARRIER_URL, TIMEOUT_S
from store import all_parcels, find


def state_of(number):
    try:
        answer = requests.get(f"{CARRIER_URL}/track/{number}", headers={"token": ACCESS_TOKEN}, timeout=TIMEOUT_S, verify=False)
        return answer.json()["state"]
    except Exception: pass


def refresh():
    for parcel in all_parcels():
        for attempt in range(3):
            state = state_of(parcel[1])
            if state:
                for other in all_parcels():
                    if other[1] == parcel[1]:
                        print(other, state)
                break
            time.sleep(2)


def label(number):
    # TODO: labels for parcels above 30 kg
    parcel = find(number)
    return f"{parcel[0]}: {parcel[1]}"
