package Hostile::Innocent;

# A client that behaves: a connection, a request, the answer, and the same again. Each
# has a time that is its turn, so that waiting for one does not hide the next.

use strict;
use warnings;

use IO::Select;
use Prefork::Tools qw(now pause);

use constant {
	SOURCE  => '198.18.2.1',
	EACH    => 0.02,
	TIMEOUT => 2,
	ENOUGH  => 0.99,
	MS      => 1000,
};

# measure($server, $seconds): a hash with p99 in ms, failed in percent, and the seconds.
sub measure {
	my ($server, $seconds) = @_;
	my $start = now();
	my ($n, $failed, @took) = (0, 0);

	while ((my $due = $start + $n * EACH) < $start + $seconds) {
		pause($due - now()) if $due > now();
		$n++;
		if (exchange($server)) {
			push @took, now() - $due;
		} else {
			$failed++;
			push @took, TIMEOUT;
		}
		last if now() > $start + 4 * $seconds;
	}
	@took = sort { $a <=> $b } @took;
	return {
		p99     => MS * $took[ int ENOUGH * $#took ],
		failed  => 100 * $failed / $n,
		seconds => now() - $start,
	};
}

sub exchange {
	my ($server) = @_;
	my $socket = $server->connect_from(SOURCE, Timeout => TIMEOUT) or return 0;
	my $select = IO::Select->new($socket);
	my ($text, $end) = (q{}, now() + TIMEOUT);

	syswrite($socket, $server->{request}) // return 0;
	while ($text !~ $server->{answer}) {
		my $left = $end - now();
		return 0 if $left <= 0 || !$select->can_read($left);
		sysread($socket, $text, 65_536, length $text) or return 0;
	}
	return 1;
}

1;
