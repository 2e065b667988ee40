// Command backup saves a snapshot of a member to a file. It verifies the file, which only the
// file's owner can read:
//
//	ETCD_ENDPOINTS=127.0.0.1:2379 go run ./examples/backup backup.db
//
// With -demo it also restores the snapshot with etcdutl (bin/etcdutl, which `make etcdutl` builds),
// starts a server with the restored data, and reads a key that was deleted after the backup.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
	"go.etcd.io/etcd/client/v3/snapshot"
)

func main() { demo.Main(run, restoreDeleted) }

func run(ctx context.Context, out io.Writer, endpoints []string) error {
	if flag.NArg() != 1 {
		return errors.New("want the name of the file to write")
	}
	return backUp(ctx, out, endpoints[0], flag.Arg(0))
}

// backUp saves a snapshot of the member at endpoint to file. If it fails, an existing file stays as
// it was.
func backUp(ctx context.Context, out io.Writer, endpoint, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // for gigabytes on slow networks
	defer cancel()
	member := clientv3.Config{Endpoints: []string{endpoint}}
	if _, err := snapshot.SaveWithVersion(ctx, nil, member, file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "saved %d bytes\n", info.Size())
	return nil
}
