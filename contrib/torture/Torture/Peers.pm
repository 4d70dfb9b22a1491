package Torture::Peers;

# The same reloads and kills for nginx (stream, reuseport) and haproxy, where
# they are installed, by the same checker. Neither echoes, so each passes on to
# a prefork-echo that nothing happens to; it has eight addresses, so that their
# ports do not run out.

use strict;
use warnings;

use parent -norequire, 'Torture::Server';

use File::Basename ();
use POSIX          ();
use Prefork::Tools qw(wait_for children alive tcp on_wait);
use Torture::Relay;
use Torture::Rows;
use Torture::Run;
use Torture::Server;

use constant WORKERS => 4;

my %peers = (
	nginx   => { reload => 'HUP',  workers => WORKERS, config => \&nginx_config },
	haproxy => { reload => 'USR2', workers => 1,       config => \&haproxy_config },
);

sub rows {
	my @rows;

	for my $name (qw(nginx haproxy)) {
		for my $row (qw(reload kill)) {
			push @rows, map { one($name, $row, $_) } qw(closed open away stay);
		}
	}
	return @rows;
}

sub one {
	my ($name, $row, $load) = @_;
	my $title = "$name/$row/$load";

	return [ $title => sub { run_peer($name, $row, $load, $title) } ];
}

sub path_of {
	my ($name) = @_;
	my ($path) = grep { -x } map { "$_/$name" } (split /:/, $ENV{PATH}), '/usr/sbin';

	return $path;
}

sub run_peer {
	my ($name, $row, $load, $title) = @_;
	my $peer = $peers{$name};
	my $path = path_of($name);
	my $back;

	if (!$path) {
		skip_row($title, "$name is not installed");
		return;
	}
	my $done = eval {
		run_loaded(
			row    => $title,
			peer   => 1,
			load   => $load,
			events => $row eq 'reload' ? \&reloads : \&kills,
			server => sub {
				my ($host) = @_;
				$back = Torture::Server->start({ name => "$name-back" },
					'-w', 2, '-p', $PORT + 1, '-b', '0.0.0.0');
				return start_peer({ %{$peer}, name => $name, path => $path, host => $host });
			},
		);
		1;
	};
	my $why = $@;
	$back->finish if $back;
	die $why if !$done;
	return;
}

sub start_peer {
	my ($peer) = @_;
	my $file   = "$Torture::Server::LOGS/$peer->{name}.conf";

	open my $out, '>', $file or die "$file: $!\n";
	print {$out} $peer->{config}->($peer);
	close $out or die "$file: $!\n";
	my @arguments = $peer->{name} eq 'nginx' ? ('-c', $file, '-e', 'stderr') : ('-W', '-db', '-f', $file);
	my $self = __PACKAGE__->start(
		{
			name    => $peer->{name},
			program => $peer->{path},
			up      => sub { tcp($peer->{host}, $PORT) }
		},
		@arguments
	);
	$self->{peer} = $peer;
	return $self;
}

sub nginx_config {
	my ($peer) = @_;
	my $module = File::Basename::dirname($peer->{path}) . '/../lib/nginx/modules/ngx_stream_module.so';
	my $load   = -e $module ? "load_module $module;" : q{};
	my $back   = join "\n", map { "server 127.0.1.$_:" . ($PORT + 1) . q{;} } 1 .. 8;

	return <<"END";
$load
daemon off;
worker_processes ${\WORKERS};
worker_rlimit_nofile 20000;
pid $Torture::Server::LOGS/nginx.pid;
error_log stderr notice;
events { worker_connections 8192; }
stream {
	upstream back {
		$back
	}
	server {
		listen $peer->{host}:$PORT reuseport backlog=4096;
		proxy_pass back;
	}
}
END
}

sub haproxy_config {
	my ($peer) = @_;
	my $back = join "\n", map { "server s$_ 127.0.1.$_:" . ($PORT + 1) } 1 .. 8;

	return <<"END";
global
	nbthread ${\WORKERS}
	maxconn 8000
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
listen echo
	bind $peer->{host}:$PORT shards by-thread backlog 4096
	balance roundrobin
	$back
END
}

# The serving processes: children that were there a moment ago and still are.
sub serving {
	my ($self) = @_;
	my @pids = grep { alive($_) } children($self->{pid});

	return @pids;
}

sub reloads {
	my ($self) = @_;
	my $peer   = $self->{peer};
	my $wanted = Torture::Rows::times_of(500, 25);

	for my $n (1 .. $wanted) {
		my %old = map { $_ => 1 } $self->serving;
		$self->signal($peer->{reload});
		wait_for(sub { (grep { !$old{$_} } $self->serving) >= $peer->{workers} }, 20)
		    or return (events => $n, wrong => ["reload $n did not end"]);
		pause_for(0.05);
	}
	return (events => $wanted);
}

sub kills {
	my ($self) = @_;
	my ($wanted, $in_service, $restarts) = (Torture::Rows::times_of(200, 10), 0, 0);

	for my $n (1 .. $wanted) {
		my @workers = $self->serving;
		$in_service += $self->kill_worker($workers[ rand @workers ]) if @workers;
		wait_for(sub { $self->ended || $self->serving >= $self->{peer}{workers} }, 20)
		    or return (events => $n, wrong => ["no replacement after kill $n"]);
		if ($self->ended) {
			# The master went as well: somebody has to start it again.
			$restarts++;
			$self->again;
		}
		pause_for(0.05 + rand 0.2);
	}
	return (
		events     => $wanted,
		in_service => $in_service,
		notes      => [ $restarts ? "the master ended as well $restarts times and was started again" : () ],
	);
}

sub ended {
	my ($self) = @_;
	my $pid = waitpid $self->{pid}, POSIX::WNOHANG();

	return $self->{gone} ||= $pid == $self->{pid};
}

sub again {
	my ($self) = @_;
	my $new = start_peer($self->{peer});

	on_wait($self->{key}, undef);
	@{$self}{ keys %{$new} } = values %{$new};
	delete $self->{gone};
	return;
}

# Its orders are not examined here.
sub finish {
	my ($self) = @_;
	my @workers = $self->serving;

	kill 'TERM', $self->{pid} if !$self->ended;
	wait_for(sub { $self->ended }, 5);
	kill 'KILL', grep { alive($_) } $self->{pid}, @workers;
	on_wait($self->{key}, undef);
	$self->{trouble} = [];
	return;
}

1;
