package clientv3

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/credentials/insecure"
)

// TestUnknownOptionsKeepTheUsersCredentials: replacedIn reads private fields of gRPC's dial
// options. If a release of gRPC has other fields, replacedIn reports that the program has set
// credentials, so the client does not replace them.
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
