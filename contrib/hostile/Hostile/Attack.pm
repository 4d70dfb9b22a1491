package Hostile::Attack;

# The attacks. Each runs in a process of its own until it is killed, and says when it
# is at its height.

use strict;
use warnings;

use Hostile::Raw qw(raw_socket send_syn send_datagram);
use Hostile::Server ();
use IO::Select;
use POSIX ();
use Prefork::Tools qw(now pause);
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF MSG_OOB);

use constant {
	MANY         => 400,
	FEW          => 100,
	ROUNDS       => 10,
	DESCRIPTORS  => 256,
	HEIGHT       => 60,
	SLOW         => 0.5,
	BURST        => 50,
	SMALL_BUFFER => 2048,
};

# In order: the name, its description, the function.
my @attacks = (
	[ 'slow-readers', '400 clients that ask for much and never read',      \&slow_readers ],
	[ 'late-readers', '100 clients that read for a while and then no more', \&late_readers ],
	[ 'slow-writers', '400 clients that send a byte every half a second',  \&slow_writers ],
	[ 'storm',        'connections that are closed at once',               \&storm ],
	[ 'resets',       'connections that ask and are reset at once',        \&resets ],
	[ 'zero-windows', '400 clients with a window that is soon closed',     \&zero_windows ],
	[ 'half-open',    'SYN packets of false sources',                      \&half_open ],
	[ 'urgent',       '400 clients that send urgent data',                 \&urgent ],
	[ 'spoofed',      'datagrams of false sources, the server\'s own too', \&spoofed ],
	[ 'descriptors',  '600 idle clients of a server with 256 descriptors', \&descriptors_out ],
);
my %by_name = map { $_->[0] => $_ } @attacks;

sub names { return map { $_->[0] } @attacks }
sub about { my ($name) = @_; return $by_name{$name}[1] }

# The limit that the server gets for it, or undef.
sub descriptors { my ($name) = @_; return $name eq 'descriptors' ? DESCRIPTORS : undef }

sub start {
	my ($class, $name, $server) = @_;

	pipe my $read, my $write or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if (!$pid) {
		local $SIG{PIPE} = 'IGNORE';
		close $read;
		eval { $by_name{$name}[2]->($server, sub { syswrite $write, "\n" }); 1 } or print {*STDERR} "$name: $@";
		POSIX::_exit(1);
	}
	close $write;
	# Its height, or its end, or the time for it has passed.
	IO::Select->new($read)->can_read(HEIGHT);
	return bless { pid => $pid }, $class;
}

sub stop {
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# Of eight addresses; not all get in where connections of one source are bounded.
sub source { my ($i) = @_; return '198.18.1.' . (1 + $i % 8) }

sub clients {
	my ($server, $n, %options) = @_;
	my @clients;

	for my $i (1 .. $n) {
		my $socket = $server->connect_from(source($i), %options, Timeout => 1) or next;
		$socket->blocking(0);
		push @clients, $socket;
	}
	return @clients;
}

# Ask as long as the server takes it.
sub ask_all {
	my ($server, $ready, @clients) = @_;
	my $quiet = 0;

	while (1) {
		my $any = 0;
		for my $socket (@clients) {
			my $n = syswrite $socket, $server->{big};
			$any = 1 if $n;
		}
		$quiet = $any ? 0 : $quiet + 1;
		$ready->() if $quiet == BURST;
		pause(0.01);
	}
	return;
}

sub slow_readers {
	my ($server, $ready) = @_;

	return ask_all($server, $ready, clients($server, MANY));
}

# The server's receive buffers have grown meanwhile.
sub late_readers {
	my ($server, $ready) = @_;
	my @clients = clients($server, FEW);

	for my $socket ((@clients) x ROUNDS) {
		my ($n, $end) = (syswrite($socket, $server->{big}) // 0, now() + SLOW);
		while ($n > 0 && now() < $end) {
			my $got = sysread $socket, my $answer, 65_536;
			$n -= $got // 0;
			pause(0.001) if !$got;
		}
	}
	return ask_all($server, $ready, @clients);
}

sub zero_windows {
	my ($server, $ready) = @_;
	my @small = (Sockopts => [ [ SOL_SOCKET, SO_RCVBUF, SMALL_BUFFER ] ]);

	return ask_all($server, $ready, clients($server, MANY, @small));
}

sub slow_writers {
	my ($server, $ready) = @_;
	my @clients = clients($server, MANY);

	syswrite $_, $server->{part} for @clients;
	$ready->();
	while (1) {
		pause(SLOW);
		syswrite $_, 'y' for @clients;
	}
	return;
}

sub storm {
	my ($server, $ready) = @_;

	$ready->();
	for (my $i = 0;; $i++) {
		$server->connect_from(source($i), Timeout => 1);
	}
	return;
}

sub resets {
	my ($server, $ready) = @_;

	$ready->();
	for (my $i = 0;; $i++) {
		my $socket = $server->connect_from(source($i), Timeout => 1) or next;
		syswrite $socket, $server->{request};
		setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	}
	return;
}

sub urgent {
	my ($server, $ready) = @_;
	my @clients = clients($server, MANY);

	$ready->();
	while (1) {
		for my $socket (@clients) {
			send $socket, 'xxxx!', MSG_OOB;
			sysread $socket, my $answer, 65_536;
		}
	}
	return;
}

sub half_open {
	my ($server, $ready) = @_;
	my $raw = raw_socket();
	my @to = (Hostile::Server::ADDRESS(), $server->port);

	$ready->();
	while (1) {
		send_syn($raw, [ '198.51.100.' . (1 + int rand 250), 1024 + int rand 60_000 ], \@to);
	}
	return;
}

# The first is a loop of the server with itself, if it answers.
sub spoofed {
	my ($server, $ready) = @_;
	my $raw = raw_socket();
	my @to = (Hostile::Server::ADDRESS(), $server->port);

	send_datagram($raw, \@to, \@to, 'loop');
	$ready->();
	while (1) {
		send_datagram($raw, [ '198.51.100.' . (1 + int rand 250), 1024 + int rand 60_000 ], \@to, 'x' x 512);
	}
	return;
}

sub descriptors_out {
	my ($server, $ready) = @_;
	my @clients = clients($server, 600);

	$ready->();
	pause(SLOW) while @clients;
	return;
}

1;
