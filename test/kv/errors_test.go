package kv_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestErrorVariablesCompareWithEqual: package rpctypes has no EtcdError for
// ErrTimeoutWaitAppliedIndex. An error of that kind from a server is still == to the variable.
func TestErrorVariablesCompareWithEqual(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{MaxUnaryRetries: 1})
	s.Fail("Range", 1, rpctypes.ErrGRPCTimeoutWaitAppliedIndex)
	_, err := c.Get(t.Context(), "k")
	assert.True(t, err == rpctypes.ErrTimeoutWaitAppliedIndex, "%v", err)
	assert.ErrorIs(t, fmt.Errorf("wrapped: %w", err), rpctypes.ErrTimeoutWaitAppliedIndex)
	assert.Equal(t, codes.Unavailable, status.Code(err))

	s.Fail("Range", 1, status.Error(codes.Unavailable, "another"))
	_, err = c.Get(t.Context(), "k")
	assert.NotErrorIs(t, err, rpctypes.ErrTimeoutWaitAppliedIndex)
}

func TestServersCancelIsNotTheCallers(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	for _, code := range []codes.Code{codes.Canceled, codes.DeadlineExceeded} {
		s.Fail("Put", 1, status.Error(code, "by the server"))
		_, err := c.Put(t.Context(), "k", "v")
		assert.Equal(t, code, status.Code(err))
		assert.NotErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}
