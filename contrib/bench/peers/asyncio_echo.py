"""asyncio's echo servers by protocol; with a second argument, over uvloop."""

import asyncio
import sys

UDP = sys.argv[1:2] == ["udp"]


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def main():
    loop = asyncio.get_running_loop()
    if UDP:
        transport, _ = await loop.create_datagram_endpoint(
            EchoDatagrams, local_addr=("127.0.0.1", 0))
        name = transport.get_extra_info("sockname")
    else:
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=4096)
        name = server.sockets[0].getsockname()
    print("ready", name[1], flush=True)
    await asyncio.Event().wait()


if len(sys.argv) > 2:
    import uvloop
    uvloop.install()
asyncio.run(main())
