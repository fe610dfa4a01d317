#!/usr/bin/env python3
"""Computes the draw of a lottery again, from what everybody can read, and says whether the winners are the right ones.

    verify-lottery.py http://127.0.0.1:8080 ROOM LOTTERY TOKEN
    verify-lottery.py - < data.json        # {"lottery": ..., "entrants": [...]} as the two routes answer

It needs nothing but Python 3.8 or newer. How the draw works is written in plugins/lottery/README.md.
"""

import hashlib
import hmac
import json
import sys
import urllib.request


def draw(secret, lottery, entrants):
    """The winners as (user id, index of the tier)."""
    lines = "".join(f"{user} {chances}\n" for user, chances in entrants)
    digest = hashlib.sha256(lines.encode()).digest()
    words = stream(secret, digest)
    chances = [user for user, count in entrants for _ in range(count)]
    prizes = [[prize["weight"], prize["stock"]] for prize in lottery["prizes"]]
    wins, won = [], {}
    for place in range(len(chances)):
        if not any(stock for _, stock in prizes):
            break
        other = place + below(words, len(chances) - place)
        chances[place], chances[other] = chances[other], chances[place]
        user = chances[place]
        if won.get(user, 0) >= lottery["winsPerViewer"]:
            continue
        weights = [weight if stock else 0 for weight, stock in prizes]
        number = below(words, lottery["blankWeight"] + sum(weights)) - lottery["blankWeight"]
        for tier, weight in enumerate(weights):
            if 0 <= number < weight:
                prizes[tier][1] -= 1
                won[user] = won.get(user, 0) + 1
                wins.append((user, tier))
            number -= weight
    return digest, wins


def stream(secret, digest):
    """Words of 64 bits from HMAC-SHA-256(secret, digest + counter)."""
    block = 0
    while True:
        mac = hmac.new(secret, digest + block.to_bytes(8, "big"), hashlib.sha256).digest()
        yield from (int.from_bytes(mac[at:at + 8], "big") for at in range(0, 32, 8))
        block += 1


def below(words, n):
    """An unbiased number from 0 to n - 1."""
    for word in words:
        if word < 2**64 // n * n:
            return word % n


def fetch(server, room, lottery, token):
    def get(path):
        request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + token})
        return json.load(urllib.request.urlopen(request))

    path = f"/v1/rooms/{room}/lotteries/{lottery}"
    data = {"lottery": get(path), "entrants": []}
    cursor = ""
    while cursor is not None:
        page = get(f"{path}/entrants" + (f"?cursor={cursor}" if cursor else ""))
        data["entrants"] += page["items"]
        cursor = page.get("nextCursor")
    return data


def faults(data):
    lottery = data["lottery"]
    if lottery["status"] != "drawn":
        return [f"it is {lottery['status']}: there is no draw to verify"]
    secret = bytes.fromhex(lottery["secret"])
    entrants = sorted((int(entrant["userId"]), entrant["chances"]) for entrant in data["entrants"])
    digest, wins = draw(secret, lottery["definition"], entrants)
    found = []
    if hashlib.sha256(secret).hexdigest() != lottery["commitment"]:
        found.append("the secret is not the one that was committed to")
    if digest.hex() != lottery["closing"]["digest"]:
        found.append("the list of entrants is not the one whose digest was published")
    if wins != [(int(win["userId"]), win["tier"]) for win in lottery["wins"]]:
        found.append("the winners are not those that the draw gives")
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        found = faults(json.load(sys.stdin))
    elif len(sys.argv) == 5:
        found = faults(fetch(*sys.argv[1:]))
    else:
        sys.exit(__doc__)
    print("\n".join(found) or "the draw is as it was promised")
    sys.exit(1 if found else 0)
