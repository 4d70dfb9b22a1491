package Torture::Versions;

# The rows in which another version of the program takes the place of the running
# one: from the first that could be replaced, and from each tagged one, to this
# one; from this one to one with longer messages, and with connections that this one
# cannot take; and back from it. They are built from the history by git and make.

use strict;
use warnings;

use File::Copy  ();
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;
use Torture::Server;

use constant {
	KILLS => 20,
	NEXT  => q(-DPFK__KNOCK_VERSION=9 -DPFK__MESSAGE_TEXT=800),
};

my @loads = grep { $_->[0] =~ /^(?:tcp-50|pipelined|bulk|connect|udp)$/ } Torture::Keeper::loads();
my %built;

# The names are known when the row runs: it asks git.
sub rows {
	return ([ 'upgrade-from' => \&from_older ], [ 'upgrade-to-next' => \&to_next ]);
}

sub git {
	my (@arguments) = @_;

	open my $in, '-|', 'git', '-C', $Torture::Server::ROOT, @arguments or return;
	my @lines = <$in>;
	close $in or return;
	chomp @lines;
	return @lines;
}

# The program of a commit, or with other macros that of this tree.
sub built {
	my ($commit, $flags) = @_;
	my $dir = "$Torture::Server::LOGS/version-$commit" . ($flags ? '-next' : q{});

	return $built{$dir} //= do {
		progress('building ' . ($flags ? 'the next version' : $commit));
		my $root = $Torture::Server::ROOT;
		my $command = "mkdir -p '$dir' && git -C '$root' archive $commit | tar -xC '$dir'"
		    . " && make -s -C '$dir' -j\$(nproc) CPPFLAGS='" . ($flags // q{}) . "'";
		system("{ $command; } >'$dir.log' 2>&1") == 0 or die "cannot build $commit; see $dir.log\n";
		"$dir/build/prefork-echo";
	};
}

sub from_older {
	my ($first) = reverse git(qw(log --diff-filter=A --format=%h -- lib/process/upgrade.c));
	my @commits = ($first // (), git('tag'));

	if (!@commits) {
		skip_row('upgrade-from', 'there is no history to build older versions from');
		return;
	}
	for my $commit (@commits) {
		replaced("upgrade-from/$commit/$_->[0]", $_->[1], built($commit), Torture::Server::program('prefork-echo'))
		    for @loads;
	}
	return;
}

sub to_next {
	my ($commit) = git(qw(rev-parse --short HEAD));

	if (!$commit) {
		skip_row('upgrade-to-next', 'there is no history to build another version from');
		return;
	}
	my $next = built($commit, NEXT);
	my $ours = Torture::Server::program('prefork-echo');
	for my $load (@loads) {
		replaced("upgrade-to-next/$load->[0]",   $load->[1], $ours, $next);
		# Its workers keep their connections, and stay as long as these.
		replaced("upgrade-from-next/$load->[0]", $load->[1], $next, $ours, 1);
	}
	return;
}

# The program's file is replaced, the new program takes over, and its workers are
# killed.
sub replaced {
	my ($row, $load, $old, $new, $stays) = @_;
	my $file = "$Torture::Server::LOGS/prefork-echo";

	put($old, $file);
	run_loaded(
		row    => $row,
		load   => [$load],
		server => sub {
			my ($host) = @_;
			return Torture::Server->start({ name => $row =~ tr{/}{-}r, program => $file },
				'-w', 4, '-p', $PORT, '-b', $host);
		},
		events => sub {
			my ($server) = @_;
			put($new, $file);
			return (events => 1, wrong => ['it was not upgraded'])
			    if !$server->signal_and_wait('USR2', 'upgraded');
			my $kills = Torture::Rows::times_of(KILLS, 5);
			for my $n (1 .. $kills) {
				Torture::Keeper::kill_one($server)
				    or return (events => $n, wrong => ['no worker serves']);
			}
			return (events => 1 + $kills, $stays ? () : Torture::Keeper::afterwards($server));
		},
	);
	return;
}

# A program that runs cannot be written to: the file is another one.
sub put {
	my ($program, $file) = @_;

	File::Copy::copy($program, "$file.new") or die "$file.new: $!\n";
	chmod 0755, "$file.new";
	rename "$file.new", $file or die "$file: $!\n";
	return;
}

1;
