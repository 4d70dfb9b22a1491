#!/usr/bin/perl

# The image of `make image`: an OCI layout with right digests, small, the same each
# time; and its programs serve as process 1, as an unknown user, from a read-only
# root without /dev, /proc and /etc.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Digest::SHA ();
use JSON::PP    qw(decode_json);
use Prefork;
use Prefork::Life;
use Test::More;

use constant LIMIT => 4 * 1024 * 1024;

my ($archive, $again) = @ARGV ? @ARGV : glob "$Prefork::ROOT/build-static/*.oci.tar";
my $dir = temp_dir();

is(system('tar', '-C', $dir, '-xf', $archive), 0, 'the archive');
cmp_ok(-s $archive, '<=', LIMIT, 'is small');
my $layer = layout();
reproducible();
serves();
done_testing();

# The file of a descriptor, once its size and digest are right.
sub blob {
	my ($descriptor) = @_;
	my ($hex) = $descriptor->{digest} =~ /\Asha256:([0-9a-f]{64})\z/x;
	my $path = "$dir/blobs/sha256/$hex";

	is(Digest::SHA->new(256)->addfile($path)->hexdigest, $hex, 'a blob has its digest');
	is(-s $path, $descriptor->{size}, 'and its size');
	return $path;
}

sub layout {
	is(decode_json(slurp("$dir/oci-layout"))->{imageLayoutVersion}, '1.0.0', 'a layout');
	my $index    = decode_json(slurp("$dir/index.json"));
	my $manifest = decode_json(slurp(blob($index->{manifests}[0])));
	my $config   = decode_json(slurp(blob($manifest->{config})));
	my $path     = blob($manifest->{layers}[0]);
	my $bytes    = qx(gzip -dc $path | sha256sum);

	is($config->{rootfs}{diff_ids}[0], 'sha256:' . (split q{ }, $bytes)[0], 'the layer unpacked');
	is_deeply($config->{config}{Entrypoint}, ['/prefork-echo'], 'entry point');
	is_deeply([ sort split /\n/, qx(tar -tzf $path) ],
		[qw(./ ./echo-check ./echo-client ./prefork-ctl ./prefork-echo)], 'the programs, and no more');
	return $path;
}

sub reproducible {
	my ($version) = $archive =~ /prefork-echo-(.*)[.]oci[.]tar\z/x;

	local $ENV{SOURCE_DATE_EPOCH} = (stat "$dir/index.json")[9];
	is(system("$Prefork::ROOT/contrib/image '$Prefork::ROOT/build-static' $version $dir/again >$dir/said"),
		0, 'made again');
	is(system('cmp', $archive, "$dir/again"), 0, 'it has the same bytes');
	return;
}

sub serves {
	my $root = "$dir/root";
	my $run  = "mount --bind $root $root && mount -o remount,ro,bind $root && " .
	    "ip link set lo up && exec chroot --userspec=12345:12345 $root";

	is_root() or return pass('SKIP: a root of its own takes root');
	mkdir $root or die "$root: $!\n";
	chmod 0755, $dir, $root;
	is(system('tar', '-C', $root, '-xzf', $layer), 0, 'unpacked');
	my $script = "$run /prefork-echo -b '*' -p 8888 -w 2";
	my $client = <<"END";
sh -c "\$1" 2>$dir/log &
server=\$!
for try in \$(seq 300); do
	grep -q ' ready: ' $dir/log && break
	sleep 0.1
done
for family in '127.0.0.1' '::1'; do
	chroot $root /echo-client -p 8888 \$family hello && echo tcp \$family
	chroot $root /echo-client -u -p 8888 \$family hello && echo udp \$family
done
kill -TERM \$(cat /proc/\$server/task/\$server/children)
wait \$server
END
	my ($code, $output, $errors) = run_cmd({ timeout => 60 }, qw(unshare -m -n sh -c),
		"ip link set lo up; $client", 'sh', "exec unshare --pid --fork --kill-child sh -c '" .
		    $script =~ s/'/'\\''/gr . q{'});
	is($output =~ s/\n/ /gr, 'tcp 127.0.0.1 udp 127.0.0.1 tcp ::1 udp ::1 ', 'it serves both families and protocols')
	    or diag($errors, slurp("$dir/log"));
	is($code, 0, 'and ends by TERM');
	like(slurp("$dir/log"), qr/\[master\s\(1\)\]\sready/x, 'as process 1');
	unlike(slurp("$dir/log"), qr/Sanitizer|Assertion/x, 'without a fault');
	return;
}
