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
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/snapshot"
)

func ExampleSaveWithVersion() {
	cluster, err := etcdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path := filepath.Join(dir, "backup.db")
	member := clientv3.Config{Endpoints: cluster.Endpoints()[:1]}
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
