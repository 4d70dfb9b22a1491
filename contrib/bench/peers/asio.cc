// asio.cc: asio's own examples of an asynchronous echo server, standalone.
#include <asio.hpp>
#include <cstdio>
#include <cstring>
#include <memory>

using asio::ip::tcp;
using asio::ip::udp;

static const asio::ip::address_v4 local = asio::ip::address_v4::loopback();

struct session : std::enable_shared_from_this<session> {
	tcp::socket socket;
	char data[65536];

	explicit session(tcp::socket s) : socket(std::move(s)) {}

	void
	read()
	{
		auto self = shared_from_this();
		socket.async_read_some(asio::buffer(data),
		    [this, self](std::error_code ec, std::size_t n) {
			    if (!ec)
				    write(n);
		    });
	}

	void
	write(std::size_t n)
	{
		auto self = shared_from_this();
		asio::async_write(socket, asio::buffer(data, n),
		    [this, self](std::error_code ec, std::size_t) {
			    if (!ec)
				    read();
		    });
	}
};

static void
accept(tcp::acceptor &acceptor)
{
	acceptor.async_accept([&](std::error_code ec, tcp::socket socket) {
		if (!ec) {
			socket.set_option(tcp::no_delay(true), ec);
			std::make_shared<session>(std::move(socket))->read();
		}
		accept(acceptor);
	});
}

struct datagrams {
	udp::socket socket;
	udp::endpoint from;
	char data[65536];

	explicit datagrams(asio::io_context &io)
	    : socket(io, udp::endpoint(local, 0))
	{
	}

	void
	receive()
	{
		socket.async_receive_from(asio::buffer(data), from,
		    [this](std::error_code ec, std::size_t n) {
			    if (ec)
				    receive();
			    else
				    answer(n);
		    });
	}

	void
	answer(std::size_t n)
	{
		socket.async_send_to(asio::buffer(data, n), from,
		    [this](std::error_code, std::size_t) { receive(); });
	}
};

static void
ready(unsigned port)
{
	std::printf("ready %u\n", port);
	std::fflush(stdout);
}

int
main(int argc, char *argv[])
{
	asio::io_context io(1);

	if (argc > 1 && std::strcmp(argv[1], "udp") == 0) {
		datagrams d(io);
		d.receive();
		ready(d.socket.local_endpoint().port());
		io.run();
	} else {
		tcp::acceptor acceptor(io, tcp::endpoint(local, 0));
		accept(acceptor);
		ready(acceptor.local_endpoint().port());
		io.run();
	}
	return 0;
}
