// node.js: echo servers by node:net and node:dgram.
'use strict';

const ready = (server) => () => console.log('ready ' + server.address().port);

if (process.argv[2] === 'udp') {
	const server = require('dgram').createSocket('udp4');
	server.on('message', (data, from) =>
	    server.send(data, from.port, from.address));
	server.bind(0, '127.0.0.1', ready(server));
} else {
	const server = require('net').createServer({ noDelay: true }, (socket) => {
		socket.on('error', () => {});
		socket.pipe(socket);
	});
	server.listen(0, '127.0.0.1', 4096, ready(server));
}
