package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

const (
	callTimeout = 2 * time.Second
	// drainTimeout is how long the watches may take to deliver what was written last.
	drainTimeout = 10 * time.Second
	startTimeout = time.Minute
)

// load is all the calls, watches and leases that the plan asks for, and the record of them.
type load struct {
	plan   record.Plan
	client *clientv3.Client

	// The context calls ends when the requests of the load must stop. The context streams ends
	// later, because watches and leases go on until the record is taken.
	calls, streams           context.Context
	stopCalls, stopStreams   context.CancelFunc
	callsEnded, streamsEnded sync.WaitGroup

	mu     sync.Mutex
	record record.Record
	nextID int64

	watches []*watch
}

// startLoad connects, starts the load, and waits until all parts of the load work.
func startLoad(ctx context.Context, plan record.Plan) (*load, error) {
	client, err := connect(plan, plan.Endpoints)
	if err != nil {
		return nil, err
	}
	l := &load{plan: plan, client: client}
	l.streams, l.stopStreams = context.WithCancel(ctx)
	l.calls, l.stopCalls = context.WithCancel(l.streams)
	l.record.Start = time.Now().UnixNano()
	l.record.Errors = map[string]int{}
	l.record.Versions = versions()
	begin, cancel := context.WithTimeout(l.calls, startTimeout)
	defer cancel()
	if _, err := client.Get(begin, record.LoadPrefix); err != nil {
		return nil, fmt.Errorf("%s do not serve: %w", plan.Endpoints, err)
	}
	for _, start := range []func(context.Context) error{
		l.startWatches, l.startLeases, l.startCallers, l.startGuard, l.startClients,
	} {
		if err := start(begin); err != nil {
			return nil, err
		}
	}
	// Ends when l.streams ends; the method end waits for it.
	l.streamsEnded.Go(l.measure)
	return l, nil
}

// connect makes a client with settings that are usual in programs. gRPC raises a DialKeepAliveTime
// below ten seconds to ten seconds.
func connect(plan record.Plan, endpoints []string) (*clientv3.Client, error) {
	cfg := clientv3.Config{
		Endpoints: endpoints, Username: plan.Username, Password: plan.Password,
		DialTimeout: callTimeout, DialKeepAliveTime: 10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second, Logger: zap.NewNop(),
		AutoSyncInterval: time.Duration(plan.AutoSyncSeconds) * time.Second,
	}
	if plan.CA != "" {
		pem, err := os.ReadFile(plan.CA)
		if err != nil {
			return nil, err
		}
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", plan.CA)
		}
	}
	return clientv3.New(cfg)
}

// stop ends all calls and waits for them.
func (l *load) stop() {
	l.stopCalls()
	l.callsEnded.Wait()
}

// end waits for at most drainTimeout until the watches have delivered the revision in the parameter
// last. It then ends the load and returns the record.
func (l *load) end(last int64) (*record.Record, error) {
	deadline := time.Now().Add(drainTimeout)
	for _, w := range l.watches {
		w.waitFor(last, time.Until(deadline))
	}
	l.stopStreams()
	l.streamsEnded.Wait()
	for _, w := range l.watches {
		l.record.Watches = append(l.record.Watches, w.record)
	}
	l.record.PeakRSS = peakRSS()
	l.sabotage()
	return &l.record, errors.Join(l.client.Close())
}

// note writes down the outcome of a read or a write.
func (l *load) note(write bool, err error) {
	now := time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	done, failed := &l.record.Reads, &l.record.FailedReads
	if write {
		done, failed = &l.record.Writes, &l.record.FailedWrites
	}
	if err != nil {
		*failed = append(*failed, now)
		l.record.Errors[err.Error()]++
		return
	}
	bucket := int((now - l.record.Start) / record.Bucket)
	for len(*done) <= bucket {
		*done = append(*done, 0)
	}
	(*done)[bucket]++
}

// noteID writes down the outcome of the write with an id.
func (l *load) noteID(id int64, err error) {
	l.note(true, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.record.Unsure = append(l.record.Unsure, id)
		return
	}
	l.record.Acked = append(l.record.Acked, id)
}

// newID returns an id that no other write has.
func (l *load) newID() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nextID++
	return l.nextID
}
