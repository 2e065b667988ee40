package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// connection is what the workloads call: a client, or gRPC's generated stubs.
type connection interface {
	put(ctx context.Context, key, value string) error
	get(ctx context.Context, key string) error

	// txn compares a revision, puts two keys and gets one.
	txn(ctx context.Context, key, value string) error

	// list returns the keys with the prefix.
	list(ctx context.Context, prefix string) ([]*mvccpb.KeyValue, error)

	// watch calls arrived for each response that has events, until ctx ends. The parameter value is
	// the value of the first event.
	watch(ctx context.Context, prefix string, arrived func(events int, value []byte)) error

	close() error
}

func connect(s settings) (connection, error) {
	if s.via == "stub" {
		return dialStub(s.endpoint)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint}})
	if err != nil {
		return nil, err
	}
	return &viaClient{Client: client}, nil
}

// viaClient calls the client that the program was built with.
type viaClient struct {
	*clientv3.Client

	// readers counts the goroutines that read channels of the client. A goroutine ends when the
	// client closes its channel. The method close waits for all of them.
	readers sync.WaitGroup
}

func (c *viaClient) close() error {
	err := c.Close()
	c.readers.Wait()
	return err
}

func (c *viaClient) put(ctx context.Context, key, value string) error {
	_, err := c.Put(ctx, key, value)
	return err
}

func (c *viaClient) get(ctx context.Context, key string) error {
	_, err := c.Get(ctx, key)
	return err
}

func (c *viaClient) txn(ctx context.Context, key, value string) error {
	_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 7)).
		Then(clientv3.OpPut(key, value), clientv3.OpGet(key)).
		Else(clientv3.OpGet(key)).Commit()
	return err
}

func (c *viaClient) list(ctx context.Context, prefix string) ([]*mvccpb.KeyValue, error) {
	resp, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	return resp.Kvs, nil
}

func (c *viaClient) watch(
	ctx context.Context, prefix string, arrived func(events int, value []byte),
) error {
	for resp := range c.Watch(ctx, prefix, clientv3.WithPrefix()) {
		if err := resp.Err(); err != nil {
			return ended(ctx, err)
		}
		if len(resp.Events) > 0 {
			arrived(len(resp.Events), resp.Events[0].Kv.Value)
		}
	}
	return ended(ctx, errors.New("the watch channel was closed"))
}

// ended returns err, or nil if ctx has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// viaStub calls the generated stubs, on a connection of their own with gRPC's default codec.
type viaStub struct {
	conn    *grpc.ClientConn
	kv      pb.KVClient
	watcher pb.WatchClient
}

func dialStub(endpoint string) (viaStub, error) {
	conn, err := grpc.NewClient("passthrough:///"+endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return viaStub{}, err
	}
	return viaStub{conn: conn, kv: pb.NewKVClient(conn), watcher: pb.NewWatchClient(conn)}, nil
}

func (s viaStub) close() error { return s.conn.Close() }

func (s viaStub) put(ctx context.Context, key, value string) error {
	_, err := s.kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
	return err
}

func (s viaStub) get(ctx context.Context, key string) error {
	_, err := s.kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	return err
}

func (s viaStub) txn(ctx context.Context, key, value string) error {
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
	_, err := s.kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(key), Result: pb.Compare_EQUAL,
			Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 7}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}, get},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte(key)}}}},
	})
	return err
}

func (s viaStub) list(ctx context.Context, prefix string) ([]*mvccpb.KeyValue, error) {
	resp, err := s.kv.Range(ctx, &pb.RangeRequest{Key: []byte(prefix),
		RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix))})
	if err != nil {
		return nil, err
	}
	return resp.Kvs, nil
}

func (s viaStub) watch(
	ctx context.Context, prefix string, arrived func(events int, value []byte),
) error {
	stream, err := s.watcher.Watch(ctx)
	if err != nil {
		return err
	}
	create := &pb.WatchCreateRequest{Key: []byte(prefix),
		RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix))}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: create}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for {
		resp, err := stream.Recv()
		if status.Code(err) == codes.Canceled {
			return ended(ctx, err)
		}
		if err != nil {
			return err
		}
		if resp.Canceled {
			return fmt.Errorf("the server ended the watch: %s", resp.CancelReason)
		}
		if len(resp.Events) > 0 {
			arrived(len(resp.Events), resp.Events[0].Kv.Value)
		}
	}
}
