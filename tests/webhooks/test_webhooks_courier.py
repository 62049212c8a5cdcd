"""Sending: in order for each webhook, none held up by another, and nothing sent by who may not."""

from __future__ import annotations

import socket
import time

from tests.webhooks.conftest import Post

from bailiwick.core.actor import Actor
from bailiwick.webhooks.courier import FAST_THREADS, Courier
from bailiwick.webhooks.model import Webhook
from tests_support.receiver import OK, Got, Receiver, answers, hangs, receiving, status


def subscribed(post: Post, actor: Actor, receiver: Receiver, name: str = "a", secret: str = "") -> Webhook:
    return post.service.create(
        actor, name, url=receiver.url + f"/{name}", events=["*"], format="cloudevents", secret=secret
    )


def test_what_waits_is_delivered_in_order_each_with_its_id(post: Post, admin: Actor) -> None:
    with receiving() as receiver:
        hook = subscribed(post, admin, receiver)
        post.note(admin, *[f"thing.n{n}" for n in range(20)])
        post.collect()
        post.send()
        got = receiver.wait_for(20)
    assert [each.json["type"] for each in got] == [f"dev.bailiwick.thing.n{n}" for n in range(20)]
    delivered = {each.id: each.event for each in post.service.deliveries("default", hook.id, status="DELIVERED")}
    assert {each.headers["webhook-id"]: each.json["type"].removeprefix("dev.bailiwick.") for each in got} == delivered
    assert len({each.headers["webhook-id"] for each in got}) == 20


def test_a_retry_has_the_same_id_and_body(post: Post, admin: Actor) -> None:
    with receiving(answers(status(500), status(429, "Retry-After: 2\r\n"), OK)) as receiver:
        hook = subscribed(post, admin, receiver)
        post.note(admin, "thing.made")
        post.collect()
        for wait in (1_000, 2_000, 0):
            post.send()
            post.clock.advance(wait)
        got = receiver.wait_for(3)
    assert len({(each.headers["webhook-id"], each.body) for each in got}) == 1
    (delivery,) = post.service.deliveries("default", hook.id)
    assert (delivery.status, delivery.attempts) == ("DELIVERED", 3)
    _, attempts = post.service.delivery("default", delivery.id)
    assert [each.response_status for each in attempts] == [200, 429, 500]


def test_receivers_that_hang_hold_up_nobody_else(post: Post, admin: Actor) -> None:
    with receiving(hangs()) as slow, receiving() as quick:
        hanging = [subscribed(post, admin, slow, f"slow{n}") for n in range(FAST_THREADS + 2)]
        post.note(admin, "thing.first")
        post.collect()
        post.send()  # from here on they are known to lag
        assert all(post.service.webhook("default", each.id).failing_since for each in hanging)
        good = subscribed(post, admin, quick)
        post.note(admin, "thing.second")
        post.collect()
        post.clock.advance(60_000)
        courier = Courier(post.outbox, post.sender)
        begun = time.monotonic()
        courier.dispatch()
        quick.wait_for(1)
        assert time.monotonic() - begun < 1.5
        courier.close()
    assert post.service.deliveries("default", good.id)[0].status == "DELIVERED"


def test_who_no_longer_holds_the_lease_sends_nothing(post: Post, admin: Actor) -> None:
    with receiving() as receiver:
        subscribed(post, admin, receiver)
        post.note(admin, "thing.made")
        post.collect()
        courier = Courier(post.outbox, post.sender, may_send=lambda: False)
        courier.dispatch()
        courier.close()
        assert receiver.got == []


def test_a_webhook_that_is_deleted_in_mid_attempt_leaves_nothing(post: Post, admin: Actor) -> None:
    with receiving() as receiver:
        hook = subscribed(post, admin, receiver)
        post.note(admin, "thing.made")
        post.collect()

        def delete_and_answer(connection: socket.socket, _got: Got) -> None:
            post.service.delete(admin, hook.id)
            connection.sendall(OK)

        receiver.behave = delete_and_answer
        post.send()
        assert post.service.webhooks("default") == []
