#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections by the hundred thousand through the masquerade: ab against nginx.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
load outside

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

start_nginx() {
	cat >"$work/nginx.conf" <<-END
		worker_processes 1;
		daemon off;
		pid $work/nginx.pid;
		error_log $work/nginx.error;
		events { worker_connections 4096; }
		http {
			access_log off;
			client_body_temp_path $work/body;
			proxy_temp_path $work/proxy;
			fastcgi_temp_path $work/fastcgi;
			uwsgi_temp_path $work/uwsgi;
			scgi_temp_path $work/scgi;
			keepalive_timeout 0;
			server {
				listen 80 backlog=4096;
				location / { return 200 "here\n"; }
			}
		}
	END
	on "$outside" sysctl -qw net.core.somaxconn=4096
	serve nginx "$outside" nginx -c "$work/nginx.conf"
	await_listener "$outside" tcp 80
}

# So many connections of a namespace, each of one request; none may fail.
connections() { # NAMESPACE COUNT
	run -0 on "$1" ab -q -r -n "$2" -c 100 "http://$server_address/"
	grep -E '^(Time taken|Complete|Failed|Non-2xx|Requests per second)' <<<"$output" | sed "s/^/# /" >&3
	[[ $output =~ Complete\ requests:\ +$2$'\n' ]]
	[[ $output =~ Failed\ requests:\ +0$'\n' ]]
	[[ $output != *Non-2xx* ]]
}

@test "200,000 connections of one namespace to one server, and not one fails" {
	need nginx ab
	internet_up
	start_nginx
	watch "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"
	connections "$red" 200000
	[[ $(nat_drops) == 0 ]]
	assert_judged 400000
}
