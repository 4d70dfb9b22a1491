package Hostile::Server;

# The servers under attack, and the resources that each uses.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Prefork::Tools qw(wait_for spawn_process);

our @EXPORT_OK = qw(ADDRESS);

use constant {
	ADDRESS   => '198.18.0.1',
	PORT      => 7777,
	BIG       => 64 << 20,
	PAGE      => 4096,
	LONGEST   => 20,
	STOP_WAIT => 10,
};

# Each: the command, a request, and how its answer ends. BIG asks for more than any
# buffer holds.
my %servers = (
	'prefork-echo' => {
		program => sub { ($ENV{PREFORK_O} // 'build') . '/prefork-echo' },
		command => sub {
			my ($self) = @_;
			return ($self->{program}, qw(-w 2 -n 1000 -q -b), ADDRESS, '-p', PORT, split q{ }, $self->{arguments});
		},
		request => 'x' x 64,
		answer  => qr/x{64}\z/,
		big     => 'x' x 65_536,
		part    => 'x',
	},
	'nginx' => {
		program => sub { path_of('nginx') },
		command => sub { my ($self) = @_; return ($self->{program}, '-c', nginx_file($self), '-p', $self->{dir}) },
		request => "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		answer  => qr/\r\n\r\nok\z/,
		big     => "GET /big HTTP/1.1\r\nHost: x\r\n\r\n" x 100,
		part    => 'GET / HTTP/1.1' . "\r\nX: y",
	},
	'xinetd' => {
		program => sub { path_of('xinetd') },
		command => sub { my ($self) = @_; return ($self->{program}, '-dontfork', '-f', xinetd_file($self)) },
		request => 'x' x 64,
		answer  => qr/x{64}\z/,
		big     => 'x' x 65_536,
		part    => 'x',
	},
);

# Those that are installed, of the names given, or of all.
sub found {
	my ($arguments, @names) = @_;
	my @found;

	for my $name (@names ? @names : qw(prefork-echo nginx xinetd)) {
		my $how = $servers{$name};
		my $program = $how ? $how->{program}->() : undef;
		if (defined $program && -x $program) {
			push @found, bless { %{$how}, name => $name, program => $program, arguments => $arguments }, __PACKAGE__;
		} else {
			warn "left out $name: it is not installed\n";
		}
	}
	return @found;
}

sub path_of {
	my ($name) = @_;

	my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin';
	return $path;
}

sub write_file {
	my ($path, $text) = @_;

	open my $f, '>', $path or die "$path: $!\n";
	print {$f} $text;
	close $f or die "$path: $!\n";
	return $path;
}

sub nginx_file {
	my ($self) = @_;
	my $dir = $self->{dir};

	open my $f, '>', "$dir/big" or die "$dir/big: $!\n";
	truncate $f, BIG or die "truncate: $!\n";
	close $f or die "$dir/big: $!\n";
	return write_file("$dir/conf", <<"END");
user root;
daemon off;
worker_processes 2;
pid $dir/pid;
error_log /dev/null crit;
events { worker_connections 1000; }
http {
	access_log off;
	server {
		listen ${\ADDRESS}:${\PORT} reuseport;
		location = / { return 200 ok; }
		location = /big { root $dir; }
	}
}
END
}

# As prefork-echo, by TCP and by UDP.
sub xinetd_file {
	my ($self) = @_;
	my $common = 'user = root bind = ' . ADDRESS . ' port = ' . PORT . ' type = INTERNAL UNLISTED';
	my $text = "defaults\n{\ninstances = 1000\ncps = 100000 1\nper_source = UNLIMITED\n}\n";

	$common =~ s/\s(?=\w+\s=)/\n/gx;
	$text .= "service echo\n{\nid = echo-stream\nsocket_type = stream\nprotocol = tcp\nwait = no\n$common\n}\n";
	$text .= "service echo\n{\nid = echo-dgram\nsocket_type = dgram\nprotocol = udp\nwait = yes\n$common\n}\n";
	return write_file("$self->{dir}/conf", $text);
}

sub name { my ($self) = @_; return $self->{name} }
sub port { return PORT }

# A connection from that address, or undef.
sub connect_from {
	my ($self, $source, %options) = @_;

	return IO::Socket::INET->new(
		LocalAddr => $source,
		PeerAddr  => ADDRESS,
		PeerPort  => PORT,
		Timeout   => 5,
		%options
	);
}

# With so many descriptors for each of its processes, undef is as many as it gets.
sub start {
	my ($self, $descriptors) = @_;
	my @limit = ('sh', '-c', (defined $descriptors ? "ulimit -n $descriptors; " : q{}) . 'exec "$@"', 'sh');

	$self->{dir} = File::Temp->newdir('hostile-XXXXXX', TMPDIR => 1);
	chmod 0755, $self->{dir};
	open my $out, '+>', "$self->{dir}/log" or die "log: $!\n";
	$limit[0] = path_of('sh');
	$self->{pid} = spawn_process({ stdout => $out, stderr => $out }, @limit, $self->{command}->($self));
	wait_for(sub { $self->connect_from('198.18.2.1') }, LONGEST)
	    or die "$self->{name} does not serve; $self->{dir}/log\n";
	return;
}

sub stop {
	my ($self) = @_;

	kill 'INT', $self->{pid};
	if (!wait_for(sub { waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid} }, STOP_WAIT)) {
		kill 'KILL', $self->processes;
		waitpid $self->{pid}, 0;
	}
	delete $self->{pid};
	return;
}

# All its processes.
sub processes {
	my ($self) = @_;
	my (%children, @all);

	for my $stat (glob '/proc/[0-9]*/stat') {
		open my $f, '<', $stat or next;
		my ($pid, $parent) = (readline($f) // q{}) =~ /\A(\d+)\s[(].*[)]\s\S\s(\d+)/x or next;
		push @{ $children{$parent} }, $pid;
	}
	my @next = ($self->{pid});
	while (defined(my $pid = shift @next)) {
		push @all, $pid;
		push @next, @{ $children{$pid} // [] };
	}
	return @all;
}

# Seconds of CPU that they have used, those of ended children too.
sub cpu {
	my ($self) = @_;
	my $ticks = 0;

	for my $pid ($self->processes) {
		open my $f, '<', "/proc/$pid/stat" or next;
		my ($rest) = (readline($f) // q{}) =~ /[)]\s(.*)/x or next;
		my @fields = split q{ }, $rest;
		$ticks += $_ for @fields[ 11 .. 14 ];
	}
	return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub rss {
	my ($self) = @_;
	my $bytes = 0;

	for my $pid ($self->processes) {
		open my $f, '<', "/proc/$pid/statm" or next;
		my @fields = split q{ }, readline($f) // q{};
		$bytes += PAGE * ($fields[1] - $fields[2]) if @fields;
	}
	return $bytes;
}

# The memory of its ends of the connections, and of its UDP sockets.
sub kernel_bytes {
	my ($self) = @_;
	my $bytes = 0;

	for my $line (map { `ss -H -m -n -a $_ sport = :${\PORT}` } '-t', '-u') {
		my ($r, $w) = $line =~ /skmem:[(]r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)/x or next;
		$bytes += $r + $w;
	}
	return $bytes;
}

1;
