#!/usr/bin/perl

# When memory runs out, the kernel ends a worker first: its successor goes on with
# the connections, and nobody does so for the master or a keeper.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Tools qw(children is_keeper workers_of wait_for echo_once);
use Test::More;

my $mine = score('self');

prefers($_, $mine) for [], [qw(--keeper off)];
SKIP: {
	my $most = $mine > 800 ? $mine : 800;

	set_score('self', $most);
	prefers([], $most);
	skip 'only root lowers a score, with the right to', 4
	    if !is_root() || !eval { set_score('self', -1000); 1 };
	prefers([], -1000);
	set_score('self', $mine);
}
done_testing();

sub score {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/oom_score_adj" or return;
	return 0 + (readline($file) // return);
}

sub set_score {
	my ($pid, $score) = @_;

	open my $file, '>', "/proc/$pid/oom_score_adj" or die "$pid: $!\n";
	print {$file} $score or die "$pid: $!\n";
	close $file or die "$pid: $!\n";
	return;
}

# Workers of a server whose master has this score have more, at most 1000.
sub prefers {
	my ($options, $base) = @_;
	my $server = Prefork->start('-w', 2, '-p', 0, @{$options});
	my $wanted = $base == -1000 ? $base : $base + 500 > 1000 ? 1000 : $base + 500;
	my $client = $server->tcp_socket;
	my $name   = "@{$options} $base";
	my @keepers = grep { is_keeper($_) } children($server->pid);

	is_deeply([ map { score($_) } workers_of($server->pid) ], [ $wanted, $wanted ], "workers, $name");
	is_deeply([ grep { score($_) != $base } $server->pid, @keepers ], [], "master and keepers, $name");
	if (@keepers) {
		my %old = map { $_ => 1 } workers_of($server->pid);
		kill 'KILL', keys %old;
		is(echo_once($client, 'x'), 'x', "successors go on, $name");
		ok(wait_for(sub { my @new = grep { !$old{$_} } workers_of($server->pid);
			@new == 2 && !grep { (score($_) // 2000) != $wanted } @new }), "successors have the same score, $name");
	}
	is($server->stop, 0, "exit status, $name");
	return;
}
