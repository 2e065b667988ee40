package faults_test

import (
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestSoakFiftyThousandLeasesOnAFake(t *testing.T) {
	testclient.Soak(t)
	fake := etcdfake.Start(t, etcdfake.WithCanned()) // WithCanned turns the request log off
	scale{
		leases: 50_000, ttl: 10, duration: time.Minute,
		requests: func() int { return fake.Calls("LeaseKeepAlive") },
	}.run(t, testclient.OpenFake(t, fake))
}

func TestSoakFiveThousandLeasesOnARealServer(t *testing.T) {
	testclient.Soak(t)
	cluster := etcdtest.Start(t)
	scale{
		leases: 5000, ttl: 10, duration: time.Minute,
		requests: func() int { return received(t, cluster) },
	}.run(t, testclient.Open(t, cluster))
}
