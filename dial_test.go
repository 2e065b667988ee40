package clientv3

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/credentials/insecure"
)

// TestUnknownOptionsKeepTheUsersCredentials: a release of gRPC may have other private fields. Then
// the client's own credentials do not replace those that the program may have set.
func TestUnknownOptionsKeepTheUsersCredentials(t *testing.T) {
	own := insecure.NewCredentials()
	for name, options := range map[string]any{
		"no fields":         struct{}{},
		"other types":       struct{ copts, useProxy, disableHealthCheck int }{},
		"fields elsewhere":  struct{ copts struct{ Creds any } }{},
		"a pointer instead": &struct{}{},
	} {
		u := replacedIn(reflect.ValueOf(options), nil, own)
		assert.Equal(t, userOptions{credentials: true}, u, name)
	}
	assert.Equal(t, userOptions{credentials: true}, replacedIn(reflect.Value{}, nil, own))
}
