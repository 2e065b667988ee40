package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

const key = "examples/backup"

// restoreDeleted deletes a key after a backup, and then reads it from a restored server.
func restoreDeleted(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, data := filepath.Join(dir, "backup.db"), filepath.Join(dir, "data")

	err = withClient(endpoints, func(client *clientv3.Client) error {
		if _, err := client.Put(ctx, key, "precious"); err != nil {
			return err
		}
		if err := backUp(ctx, out, endpoints[0], file); err != nil {
			return err
		}
		_, err := client.Delete(ctx, key)
		fmt.Fprintln(out, "deleted the key")
		return err
	})
	if err != nil {
		return err
	}
	if err := restore(ctx, file, data); err != nil {
		return err
	}
	restored, err := etcdtest.New(etcdtest.WithArgs("--data-dir=" + data))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restored.Close()) }()
	return withClient(restored.Endpoints(), func(client *clientv3.Client) error {
		resp, err := client.Get(ctx, key)
		if err != nil {
			return err
		}
		for _, kv := range resp.Kvs {
			fmt.Fprintf(out, "on the restored server %s = %s\n", kv.Key, kv.Value)
		}
		return nil
	})
}

// restore makes a data directory from a snapshot file. Clients may remember revisions of the old
// cluster that are newer than the snapshot. Because of --bump-revision and --mark-compacted,
// watches from such a revision end with ErrCompacted, so that the clients read all keys again
// instead of missing changes.
func restore(ctx context.Context, file, data string) error {
	etcdutl, err := findEtcdutl()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, etcdutl, "snapshot", "restore", file, "--data-dir", data,
		"--bump-revision", "1000000000", "--mark-compacted")
	if log, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, log)
	}
	return nil
}

// findEtcdutl looks for bin/etcdutl in the working directory and in all directories above it.
func findEtcdutl() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "bin", "etcdutl")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no bin/etcdutl: run `make etcdutl`")
		}
		dir = filepath.Dir(dir)
	}
}

func withClient(endpoints []string, use func(*clientv3.Client) error) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return use(client)
}
