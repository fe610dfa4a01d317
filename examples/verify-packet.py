#!/usr/bin/env python3
"""Computes the shares of a closed red packet from what everybody can read, and says whether they are the right ones.

    curl -s $URL/v1/rooms/1/packets/$ID | verify-packet.py
    verify-packet.py packet.json grabs.json                  # what the two routes answered
    verify-packet.py --check plugins/packet/src/shares/known.json

Prints the shares, or what is wrong and ends with 1. It needs nothing but Python 3.8 or newer. How the sum is divided is written in
plugins/packet/README.md; the last form tries it on packets whose shares another program has computed.
"""
import hashlib, hmac, json, pathlib, sys


def numbers(secret, digest):
    """Words of 64 bits, without an end."""
    block = 0
    while True:
        bits = hmac.new(secret, digest + block.to_bytes(8, "big"), hashlib.sha256).digest()
        yield from (int.from_bytes(bits[at:at + 8], "big") for at in range(0, 32, 8))
        block += 1


def below(words, n):
    """A number from 0 to n - 1, each as likely as the others."""
    return next(word for word in words if word < 2**64 // n * n) % n


def shares(packet, secret):
    amount, count = int(packet["amount"]), packet["shares"]
    if packet["kind"] == "equal":
        return [amount // count] * count
    entries = [packet["packetId"], packet["kind"], str(amount), str(count)]
    words = numbers(secret, hashlib.sha256("".join(e + "\n" for e in entries).encode()).digest())
    cuts = set()
    for top in range(amount - count + 1, amount):
        cut = 1 + below(words, top)
        cuts.add(top if cut in cuts else cut)
    ends = sorted(cuts) + [amount]
    return [end - begin for begin, end in zip([0] + ends, ends)]


def verify(packet, grabs):
    """The shares, and what is wrong."""
    outcome = packet.get("outcome") or sys.exit("the packet has no outcome yet: its secret is not public")
    secret = bytes.fromhex(outcome["secret"])
    computed, wrong = shares(packet, secret), []
    if hashlib.sha256(secret).hexdigest() != packet["commitment"]:
        wrong.append("the secret is not the one that was committed to")
    if sum(computed[outcome["grabbed"]:]) != int(outcome["returned"]):
        wrong.append("what went back is not what was left")
    for grab in grabs:
        if computed[grab["number"] - 1] != int(grab["amount"]):
            wrong.append(f"share {grab['number']} should be {computed[grab['number'] - 1]}, not {grab['amount']}")
    return computed, wrong


def main(files):
    if files[:1] == ["--check"]:
        known = json.loads(pathlib.Path(files[1]).read_text())
        for packet in known:
            if verify(packet, []) != ([int(share) for share in packet["expected"]], []):
                sys.exit(f"packet {packet['packetId']} is computed in another way")
        return print(f"{len(known)} packets are as they should be")
    packet = json.loads(pathlib.Path(files[0]).read_text() if files else sys.stdin.read())
    grabs = json.loads(pathlib.Path(files[1]).read_text())["items"] if len(files) > 1 else []
    computed, wrong = verify(packet, grabs)
    print("\n".join(wrong or (f"{number} {share}" for number, share in enumerate(computed, 1))))
    sys.exit(bool(wrong))


main(sys.argv[1:])
