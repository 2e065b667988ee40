package main

import "strings"

// step is one command of a session, or a few commands that belong together.
type step struct {
	name string
	do   func(*user) string
	want string // a text that the output must contain
}

// ctl returns a step that is one command, which ends by itself. Its output must contain want.
func ctl(want string, args ...string) step {
	return step{name: strings.Join(args, " "), want: want, do: func(u *user) string {
		return u.etcdctl(args...)
	}}
}

// steps are run in this order in each session.
var steps = []step{
	ctl("OK", "put", "a", "1"),
	ctl("OK", "put", "a", "2", "--prev-kv"),
	ctl("OK", "put", "b", "3"),
	ctl("2", "get", "a"),
	ctl(`"value":"Mg=="`, "get", "a", "-w", "json"),
	ctl("3", "get", "", "--prefix", "--sort-by=KEY", "--order=DESCEND"),
	ctl("a", "get", "a", "--rev=2"),
	ctl("future", "get", "a", "--rev=1000"),
	ctl("ends well", "get", "missing"),
	ctl("1", "del", "b", "--prev-kv"),
	{name: "txn, succeeds", want: "SUCCESS", do: func(u *user) string {
		return u.input("value(\"a\") = \"2\"\n\nput t yes\nget a\n\nput t no\n\n", "txn")
	}},
	{name: "txn, fails", want: "FAILURE", do: func(u *user) string {
		return u.input("mod(\"a\") = \"1\"\n\nput t yes\n\nget t\n\n", "txn")
	}},
	{name: "watch", want: "w/3", do: watch},
	{name: "lease grant", want: "granted", do: grant},
	{name: "lease timetolive", want: "remaining", do: func(u *user) string {
		return u.etcdctl("lease", "timetolive", u.lease, "--keys")
	}},
	{name: "lease keep-alive, revoke", want: "expired or revoked", do: keepAlive},
	{name: "lease timetolive, gone", want: "expired", do: func(u *user) string {
		return u.etcdctl("lease", "timetolive", u.lease)
	}},
	{name: "lock, two of them", want: "has it", do: lock},
	{name: "elect, two of them", want: "second", do: elect},
	ctl("started", "member", "list"),
	ctl(`"clientURLs"`, "member", "list", "-w", "json"),
	ctl("not found", "member", "remove", "abcdef0123456789"),
	{name: "endpoint status", want: "3.7.3, 3.7.0", do: status},
	ctl("is healthy", "endpoint", "health"),
	ctl("compacted", "compact", "4"),
	ctl("compacted", "get", "a", "--rev=3"),
	ctl("compacted", "watch", "a", "--rev=2"),
	ctl("Finished", "defrag"),
	ctl("ends well", "alarm", "list"),
	{name: "snapshot save", want: "mode -rw-------", do: save},
	{name: "make-mirror", want: "mirror/2", do: mirror},
	ctl("Role reader created", "role", "add", "reader"),
	ctl("updated", "role", "grant-permission", "reader", "read", "a"),
	ctl("KV Read", "role", "get", "reader"),
	ctl("created", "user", "add", "root:secret"),
	ctl("created", "user", "add", "alice:wonder"),
	ctl("ends well", "user", "grant-role", "root", "root"),
	ctl("reader", "user", "grant-role", "alice", "reader"),
	ctl("reader", "user", "get", "alice"),
	ctl("Enabled", "auth", "enable"),
	ctl("ends with", "get", "a"),
	ctl("2", "get", "a", "--user=alice:wonder"),
	ctl("permission denied", "put", "a", "4", "--user=alice:wonder"),
	ctl("ends with", "get", "a", "--user=alice:wrong"),
	ctl("alice", "user", "list", "--user=root:secret"),
	ctl("Disabled", "auth", "disable", "--user=root:secret"),
	ctl("ends well", "get", "a"),
}
