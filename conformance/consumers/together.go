package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// In each of the steps below, several commands run together. To know when to run the next command,
// a step reads the outputs of the others or asks the server.

func watch(u *user) string {
	w := u.start("", "watch", "w/", "--prefix", "--rev=2", "--prev-kv")
	for i := 1; i <= 3; i++ {
		u.etcdctl("put", fmt.Sprintf("w/%d", i), "x")
	}
	w.until("w/3\nx\n")
	return w.interrupt()
}

// grant grants a lease and puts a key with it. The output of the first command is, for example,
// "lease 694d granted with TTL(100s)", so the lease's id is its second word.
func grant(u *user) string {
	p := u.start("", "lease", "grant", "100")
	out := p.wait()
	if u.err != nil {
		return ""
	}
	words := strings.Fields(p.out.String())
	if len(words) < 2 {
		u.err = fmt.Errorf("no lease: %s", p.out)
		return ""
	}
	u.lease = words[1]
	return out + u.etcdctl("put", "leased", "x", "--lease="+u.lease)
}

func keepAlive(u *user) string {
	once := u.etcdctl("lease", "keep-alive", "--once", u.lease)
	k := u.start("", "lease", "keep-alive", u.lease)
	k.until("keepalived")
	revoked := u.etcdctl("lease", "revoke", u.lease)
	// The command k would notice the end of the lease only at its next renewal, half a minute
	// later. A new command notices it at once, so k is interrupted.
	return once + revoked + u.etcdctl("lease", "keep-alive", u.lease) + k.interrupt()
}

func lock(u *user) string {
	first := u.start("", "lock", "mutex")
	first.until("mutex/")
	second := u.start("", "lock", "mutex", "echo", "has it")
	u.until(func() bool {
		return strings.Count(u.etcdctl("get", "mutex/", "--prefix", "--keys-only"), "mutex/") == 2
	}, func() string { return "a second waiter" })
	return first.interrupt() + second.wait()
}

func elect(u *user) string {
	first := u.start("", "elect", "office", "first")
	first.until("first")
	observer := u.start("", "elect", "--listen", "office")
	observer.until("first")
	second := u.start("", "elect", "office", "second")
	out := first.interrupt()
	second.until("second")
	observer.until("second")
	return out + second.interrupt() + observer.interrupt()
}

// status returns the output of etcdctl endpoint status, without the raft term and indexes, which
// vary. A server knows its storage version only a few seconds after its start. status waits for
// that version, because it is part of this output and of the snapshot that a later step saves.
func status(u *user) string {
	var out string
	u.until(func() bool {
		out = u.etcdctl("endpoint", "status")
		return strings.Contains(out, "3.7.3, 3.7.0")
	}, func() string { return "the storage version in\n" + out })
	fields := strings.Split(out, ", ")
	for i := 10; i < min(13, len(fields)); i++ {
		fields[i] = "NUMBER"
	}
	return strings.Join(fields, ", ")
}

func save(u *user) string {
	file := filepath.Join(u.dir, "backup.db")
	out := u.etcdctl("snapshot", "save", file)
	info, err := os.Stat(file)
	if err != nil {
		return out + err.Error()
	}
	// A snapshot has whole sectors, followed by their SHA-256.
	return fmt.Sprintf("%s%d bytes beyond whole sectors, mode %v\n", out, info.Size()%512,
		info.Mode())
}

func mirror(u *user) string {
	u.etcdctl("put", "mirror/1", "before")
	m := u.start("", "make-mirror", "--prefix=mirror/", u.other)
	target := *u
	target.endpoint = u.other
	var out string
	awaitCopy := func(text string) {
		u.until(func() bool {
			out = target.etcdctl("get", "", "--prefix")
			return strings.Contains(out, text)
		}, func() string { return fmt.Sprintf("%q in\n%s\n%s", text, out, m.out) })
	}
	awaitCopy("before")
	u.etcdctl("put", "mirror/2", "after")
	awaitCopy("after")
	return target.etcdctl("get", "", "--prefix") + m.interrupt()
}
