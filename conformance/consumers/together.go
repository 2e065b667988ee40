package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The steps in which commands wait for each other: they look at outputs and at the server for what
// to wait for.

func watch(u *user) (string, error) {
	w, err := u.start("", "watch", "w/", "--prefix", "--rev=2", "--prev-kv")
	if err != nil {
		return "", err
	}
	for i := 1; i <= 3; i++ {
		if _, err := u.etcdctl("put", fmt.Sprintf("w/%d", i), "x"); err != nil {
			return "", err
		}
	}
	if err := w.until(u.ctx, "w/3\nx\n"); err != nil {
		return "", err
	}
	return w.interrupt(), nil
}

// grant notes the lease's id: "lease ID granted with TTL(100s)".
func grant(u *user) (string, error) {
	p, err := u.start("", "lease", "grant", "100")
	if err != nil {
		return "", err
	}
	out := p.wait()
	words := strings.Fields(p.out.String())
	if len(words) < 2 {
		return "", fmt.Errorf("no lease: %s", p.out)
	}
	u.lease = words[1]
	put, err := u.etcdctl("put", "leased", "x", "--lease="+u.lease)
	return out + put, err
}

func keepAlive(u *user) (string, error) {
	once, err := u.etcdctl("lease", "keep-alive", "--once", u.lease)
	if err != nil {
		return "", err
	}
	k, err := u.start("", "lease", "keep-alive", u.lease)
	if err != nil {
		return "", err
	}
	if err := k.until(u.ctx, "keepalived"); err != nil {
		return "", err
	}
	revoked, err := u.etcdctl("lease", "revoke", u.lease)
	if err != nil {
		return "", err
	}
	// The first one would learn of it by its next renewal, half a minute later.
	again, err := u.etcdctl("lease", "keep-alive", u.lease)
	if err != nil {
		return "", err
	}
	return once + revoked + again + k.interrupt(), nil
}

func lock(u *user) (string, error) {
	first, err := u.start("", "lock", "mutex")
	if err != nil {
		return "", err
	}
	if err := first.until(u.ctx, "mutex/"); err != nil {
		return "", err
	}
	second, err := u.start("", "lock", "mutex", "echo", "has it")
	if err != nil {
		return "", err
	}
	waits := func() bool {
		out, err := u.etcdctl("get", "mutex/", "--prefix", "--keys-only")
		return err == nil && strings.Count(out, "mutex/") == 2
	}
	if err := eventually(u.ctx, waits, func() string { return "a second waiter" }); err != nil {
		return "", err
	}
	return first.interrupt() + second.wait(), nil
}

func elect(u *user) (string, error) {
	first, err := u.start("", "elect", "office", "first")
	if err != nil {
		return "", err
	}
	if err := first.until(u.ctx, "first"); err != nil {
		return "", err
	}
	observer, err := u.start("", "elect", "--listen", "office")
	if err != nil {
		return "", err
	}
	if err := observer.until(u.ctx, "first"); err != nil {
		return "", err
	}
	second, err := u.start("", "elect", "office", "second")
	if err != nil {
		return "", err
	}
	out := first.interrupt()
	if err := second.until(u.ctx, "second"); err != nil {
		return "", err
	}
	if err := observer.until(u.ctx, "second"); err != nil {
		return "", err
	}
	return out + second.interrupt() + observer.interrupt(), nil
}

// status returns the output of etcdctl endpoint status without the raft term and indexes, which
// vary. It waits until the server reports its storage version, which it learns a few seconds after
// its start, because the status and snapshots show that version.
func status(u *user) (string, error) {
	var out string
	var err error
	settled := func() bool {
		out, err = u.etcdctl("endpoint", "status")
		return err != nil || strings.Contains(out, "3.7.3, 3.7.0")
	}
	if err := eventually(u.ctx, settled, func() string {
		return "the storage version in\n" + out
	}); err != nil {
		return "", err
	}
	fields := strings.Split(out, ", ")
	for i := 10; i < min(13, len(fields)); i++ {
		fields[i] = "NUMBER"
	}
	return strings.Join(fields, ", "), err
}

func save(u *user) (string, error) {
	file := filepath.Join(u.dir, "backup.db")
	out, err := u.etcdctl("snapshot", "save", file)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(file)
	if err != nil {
		return out + err.Error(), nil
	}
	// Sectors, then a SHA-256 of them.
	return fmt.Sprintf("%s%d bytes beyond whole sectors, mode %v\n", out, info.Size()%512,
		info.Mode()), nil
}

func mirror(u *user) (string, error) {
	if _, err := u.etcdctl("put", "mirror/1", "before"); err != nil {
		return "", err
	}
	m, err := u.start("", "make-mirror", "--prefix=mirror/", u.other)
	if err != nil {
		return "", err
	}
	copied := func(text string) error {
		var out string
		return eventually(u.ctx, func() bool {
			out, err = u.at(u.other).etcdctl("get", "", "--prefix")
			return err == nil && strings.Contains(out, text)
		}, func() string { return fmt.Sprintf("%q in\n%s\n%s", text, out, m.out) })
	}
	if err := copied("before"); err != nil {
		return "", err
	}
	if _, err := u.etcdctl("put", "mirror/2", "after"); err != nil {
		return "", err
	}
	if err := copied("after"); err != nil {
		return "", err
	}
	out, err := u.at(u.other).etcdctl("get", "", "--prefix")
	return out + m.interrupt(), err
}
