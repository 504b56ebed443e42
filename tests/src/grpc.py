"""A gRPC server and client with python3-grpcio: messages are bytes, so that nothing needs to be generated.

`server ADDRESS` serves until it is ended. `client ADDRESS AUTHORITY CA_FILE` (`-`: no TLS) makes one call of each kind and
prints a line of JSON with what it saw of each. Metadata `x-request-id` names the call.
"""

import json
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "shop.v1.Cart"


def unary(request, context):
    return b"re: " + request


def stream(request, context):
    for _ in range(int(request)):
        yield b"x" * 1000


def gather(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def talk(requests, context):
    yield from requests


def fail(request, context):
    # Nothing but a head: grpc sends "trailers only" where no message came before.
    context.abort(grpc.StatusCode.NOT_FOUND, "no such cart: 50% off")


def fail_late(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def hang(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(60)
    return b""


def serve(address):
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Gather": grpc.stream_unary_rpc_method_handler(gather),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def call(channel, id, method, make, argument, timeout=20, cancel_after=None):
    metadata = (("x-request-id", id),)
    code, received = "OK", 0
    try:
        result = getattr(channel, make)(f"/{SERVICE}/{method}")
        if make.endswith("stream"):
            pending = result(argument, metadata=metadata, timeout=timeout)
            for message in pending:
                received += len(message)
                if received == cancel_after:
                    pending.cancel()
        else:
            received = len(result(argument, metadata=metadata, timeout=timeout))
    except grpc.RpcError as error:
        code = error.code().name
    number = grpc.StatusCode[code].value[0]
    print(json.dumps({"id": id, "method": method, "code": number, "bytes": received}), flush=True)


def ask(address, authority, ca):
    options = (("grpc.default_authority", authority), ("grpc.ssl_target_name_override", authority), ("grpc.enable_http_proxy", 0))
    if ca == "-":
        channel = grpc.insecure_channel(address, options)
    else:
        with open(ca, "rb") as file:
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()), options)
    with channel:
        call(channel, "unary", "Unary", "unary_unary", b"hello")
        call(channel, "stream", "Stream", "unary_stream", b"100")
        call(channel, "gather", "Gather", "stream_unary", iter([b"y" * 5000] * 20))
        call(channel, "talk", "Talk", "stream_stream", iter([b"ping"] * 10))
        call(channel, "fail", "Fail", "unary_unary", b"")
        call(channel, "fail-late", "FailLate", "unary_stream", b"")
        call(channel, "unknown", "NoSuchMethod", "unary_unary", b"")
        call(channel, "deadline", "Hang", "unary_unary", b"", timeout=0.5)
        call(channel, "cancelled", "Stream", "unary_stream", b"1000000", cancel_after=3000)
        call(channel, "after", "Unary", "unary_unary", b"hello again")


if __name__ == "__main__":
    serve(sys.argv[2]) if sys.argv[1] == "server" else ask(*sys.argv[2:])
