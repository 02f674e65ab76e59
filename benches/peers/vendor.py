"""The Zoho CRM SDK's own file store, as PyPI ships it, timed inside Python: vendor.py FOLDER SIZE.

It answers what src/worker.rs answers, line by line. It keeps plain text and syncs nothing, so its saves are not durable.
Its threads take turns by a lock of ours, for each writes the whole file in place."""

import csv
import hashlib
import itertools
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.exception.sdk_exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

THREADS = 16
FOLDER, SIZE = sys.argv[1], int(sys.argv[2])
PATH = os.path.join(FOLDER, "tokens.csv")


def row(number):
    """The columns in the store's order, as ../common/rows.rs has them."""

    def secret(what, length):
        digest = hashlib.sha256(f"{what} {number}".encode()).digest()
        return bytes(itertools.islice(itertools.cycle(digest), length // 2)).hex()

    return [
        str(number),
        f"user{number}@example.com",
        "1000." + secret("client", 30),
        secret("client secret", 42),
        "1000." + secret("refresh", 64),
        "1000." + secret("access", 64),
        "",
        str(1_795_000_000_000 + number),
        "https://www.example.com/oauth/callback",
        "https://www.example.com",
    ]


def token(user=None, client_id=None, client_secret=None, refresh_token=None, access_token=None, expires_in=None):
    made = object.__new__(OAuthToken)
    FileStore.set_oauth_token(made)
    made.set_user_signature(UserSignature(user) if user else None)
    made.set_client_id(client_id)
    made.set_client_secret(client_secret)
    made.set_refresh_token(refresh_token)
    made.set_access_token(access_token)
    made.set_expires_in(expires_in)
    return made


def refreshed(number, round_number):
    columns = row(number)
    access_token = f"1000.{round_number:064}"
    return token(*columns[1:5], access_token, str(int(columns[7]) + round_number))


def mean(operations):
    """Nanoseconds of one of the operations, each made ready before the clock runs."""
    operations = list(operations)
    started = perf_counter_ns()
    for operation in operations:
        operation()
    return (perf_counter_ns() - started) / len(operations)


class Worker:
    def __init__(self):
        self.store = None
        self.lock = threading.Lock()

    def fill(self):
        FileStore(PATH)  # Writes the names of the columns.
        with open(PATH, "a", newline="") as file:
            csv.writer(file).writerows(row(it + 1) for it in range(SIZE))

    def start(self):
        self.store = FileStore(PATH)

    def find_by_id(self, number, is_there):
        try:
            found = self.store.find_token_by_id(str(number))
        except SDKException:  # Its way to say that there is none.
            found = None
        assert (found is not None) == is_there

    def find(self, query, is_there):
        assert (self.store.find_token(query) is not None) == is_there

    def finding(self, by, number, is_there):
        columns = row(number)
        if by == "id":
            return lambda: self.find_by_id(number, is_there)
        query = token(user=columns[1]) if by == "user" else token(None, *columns[2:5])
        return lambda: self.find(query, is_there)

    def save_in_turn(self, saved):
        with self.lock:
            self.store.save_token(saved)

    def threads(self, each, seed):
        chance = random.Random(seed)
        saves = [
            [refreshed(1 + chance.randrange(SIZE), (seed * THREADS + thread) * 1_000_000 + it) for it in range(each)]
            for thread in range(THREADS)
        ]
        with ThreadPoolExecutor(THREADS) as pool:
            started = perf_counter_ns()
            list(pool.map(lambda mine: [self.save_in_turn(it) for it in mine], saves))
            return (perf_counter_ns() - started) / (each * THREADS)

    def list(self):
        assert len(self.store.get_tokens()) == SIZE

    def delete(self, number):
        nanoseconds = mean([lambda: self.store.delete_token(str(number))])
        with open(PATH, "a", newline="") as file:
            csv.writer(file).writerow(row(number))
        return nanoseconds

    def work(self, work, count, seed):
        chance = random.Random(seed)
        there = [1 + chance.randrange(SIZE) for _ in range(count)]
        kind, _, by = work.partition("-")
        if work == "fill":
            return mean([self.fill])
        if work in ("start", "open"):
            return mean([self.start] * count)
        if kind == "find" and by:
            return mean(self.finding(by, number, True) for number in there)
        if kind == "absent":
            return mean(self.finding(by, SIZE + 1 + number, False) for number in range(count))
        if work == "save":
            changed = [refreshed(number, seed * 1_000_000 + it) for it, number in enumerate(there)]
            return mean(lambda it=it: self.store.save_token(it) for it in changed)
        if work == "delete":
            return sum(self.delete(number) for number in there) / count
        if work == "list":
            return mean([self.list] * count)
        if work == "threads":
            return self.threads(-(-count // THREADS), seed)
        return None


worker = Worker()
for line in sys.stdin:
    work, count, seed = line.split()
    answer = worker.work(work, int(count), int(seed))
    print("-" if answer is None else answer, flush=True)
