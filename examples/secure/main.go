// Command secure puts and gets a key over TLS, as a user. It has the same flags as etcdctl:
//
//	ETCD_ENDPOINTS=https://host:2379 go run ./examples/secure -cacert ca.crt -user alice
//
// The password is read from the environment variable PASSWORD. With -demo, the program starts a
// server that requires client certificates, adds a user, and shows which requests the server
// refuses.
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
)

var (
	caFile   = flag.String("cacert", "", "PEM file of the CAs that sign servers' certificates")
	certFile = flag.String("cert", "",
		"PEM file of the client's certificate, if servers ask for one")
	keyFile = flag.String("key", "", "PEM file of the certificate's key")
	user    = flag.String("user", "", "name of the user")
)

func main() { demo.Start(run, refusals) }

func run(ctx context.Context, out io.Writer) error {
	return putAndGet(ctx, out, clientv3.ConfigSpec{
		Endpoints: demo.Endpoints(),
		Secure:    &clientv3.SecureConfig{Cacert: *caFile, Cert: *certFile, Key: *keyFile},
		Auth:      &clientv3.AuthConfig{Username: *user, Password: os.Getenv("PASSWORD")},
	}, "app/greeting")
}

// putAndGet puts a key and gets it, with a client whose configuration is spec. NewClientConfig
// reads the certificate's files again for each connection, so a renewed certificate needs no
// restart.
func putAndGet(
	ctx context.Context, out io.Writer, spec clientv3.ConfigSpec, key string,
) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cfg, err := clientv3.NewClientConfig(&spec, nil)
	if err != nil {
		return err
	}
	client, err := clientv3.New(*cfg) // New logs in, so a wrong password is an error here
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if _, err := client.Put(ctx, key, "hello"); err != nil {
		return explain(client, err)
	}
	resp, err := client.Get(ctx, key)
	if err != nil {
		return explain(client, err)
	}
	for _, kv := range resp.Kvs {
		fmt.Fprintf(out, "%s = %s\n", kv.Key, kv.Value)
	}
	return nil
}

// explain adds the reason for a missing connection to the error of a call. One possible reason is
// that the servers' certificates are not signed by the given CA.
func explain(client *clientv3.Client, err error) error {
	if cause := client.ConnectionError(); cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
