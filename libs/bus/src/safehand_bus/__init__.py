"""NATS JetStream: envelope, relay, durable consumers, the embedded nats-server.

Modules: ``topology`` (streams, consumers, permissions), ``envelope`` (CloudEvents codec), ``auth``
(nkeys), ``server`` (the embedded nats-server), ``provision``, ``connection``, ``relay``,
``consumer``, ``hint``, ``wake``, ``worker_main``.
"""
