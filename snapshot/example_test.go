package snapshot_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
)

// exampleEndpoints returns the endpoint of the server that all examples share.
func exampleEndpoints() []string { return snapshot.SharedEndpoints() }

func ExampleSaveWithVersion() {
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path := filepath.Join(dir, "backup.db")
	member := clientv3.Config{Endpoints: exampleEndpoints()}
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), member, path); err != nil {
		log.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Name(), info.Mode())
	// Output: backup.db -rw-------
}
