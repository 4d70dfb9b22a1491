package Torture::Load;

# echo-check at work beside an event: started, stopped when the event is over,
# and its findings.

use strict;
use warnings;

use File::Temp ();
use JSON::PP   ();
use POSIX      ();
use Prefork::Tools qw(wait_for pause spawn_process);
use Torture::Server;

use constant KINDS => qw(refused reset timeout short mismatch other late duplicate reordered);
use constant {
	LONG    => 86_400,
	WARM_UP => 0.3,
	LAST    => 30,
};

# Torture::Load->start(\@before, @arguments): before has the words that run it
# elsewhere.
sub start {
	my ($class, $before, @arguments) = @_;
	my @command = (@{$before}, Torture::Server::program('echo-check'), '--json', '-d', LONG, @arguments);

	open my $out, '+>', undef or die "temporary file: $!\n";
	open my $err, '+>', undef or die "temporary file: $!\n";
	my $self = bless { out => $out, err => $err }, $class;
	$command[0] = path_of($command[0]);
	$self->{pid} = spawn_process({ stdout => $out, stderr => $err }, @command);
	return $self;
}

sub path_of {
	my ($name) = @_;

	return $name if $name =~ m{/};
	my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
	return $path // die "$name: not found\n";
}

# Lets the loads run a moment before anything happens.
sub warm_up { wait_for(sub { 0 }, WARM_UP); return }

sub ended {
	my ($self) = @_;

	return 1 if defined $self->{status};
	my $pid = waitpid $self->{pid}, POSIX::WNOHANG();
	$self->{status} = $? if $pid == $self->{pid};
	return defined $self->{status};
}

# Stops sending, waits for the last answers: a hash as echo-check's JSON.
sub finish {
	my ($self) = @_;

	kill 'INT', $self->{pid} if !$self->ended;
	if (!wait_for(sub { $self->ended }, LAST)) {
		kill 'KILL', $self->{pid};
		waitpid $self->{pid}, 0;
		die "echo-check does not end\n";
	}
	seek $self->{$_}, 0, 0 for qw(out err);
	my ($text, $error) = map { local $/ = undef; scalar readline $_ } @{$self}{qw(out err)};
	die 'echo-check: ' . ($error // 'no result') . "\n" if !$text;
	return JSON::PP::decode_json($text);
}

sub DESTROY {
	my ($self) = @_;

	return if defined $self->{status};
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# Several results as one: started, lost by kind, worst in milliseconds.
sub sum {
	my (@results) = @_;
	my %sum = (started => 0, echoed => 0, lost => 0, worst => 0, kinds => {});

	for my $result (@results) {
		$sum{started} += $result->{sent};
		$sum{echoed}  += $result->{echoed};
		for my $kind (KINDS) {
			next if !$result->{$kind};
			$sum{kinds}{$kind} += $result->{$kind};
			$sum{lost} += $result->{$kind};
		}
		my $slowest = $result->{latency_ms}{slowest};
		$sum{worst} = $slowest if $slowest > $sum{worst};
	}
	return \%sum;
}

1;
