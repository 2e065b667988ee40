package clientv3_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/authpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestStrToPermissionType(t *testing.T) {
	for s, want := range map[string]authpb.Permission_Type{
		"READ": clientv3.PermRead, "write": clientv3.PermWrite, "ReadWrite": clientv3.PermReadWrite,
	} {
		got, err := clientv3.StrToPermissionType(s)
		assert.NoError(t, err)
		assert.Equal(t, clientv3.PermissionType(want), got)
	}
	for _, s := range []string{"", "x", "read write"} {
		got, err := clientv3.StrToPermissionType(s)
		assert.ErrorContains(t, err, `"`+s+`"`)
		assert.EqualValues(t, -1, got)
	}
}
