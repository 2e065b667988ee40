package credentials_test

import (
	"crypto/tls"
	"fmt"

	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/credentials"
)

// A connection that the program dials with gRPC itself sends the bundle's token with each call. The
// token can be replaced without dialing again.
func Example() {
	bundle := credentials.NewPerRPCCredentialBundle()
	conn, err := grpc.NewClient("127.0.0.1:2379",
		grpc.WithTransportCredentials(credentials.NewTransportCredential(
			&tls.Config{ServerName: "etcd.example"})),
		grpc.WithPerRPCCredentials(bundle.PerRPCCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	bundle.UpdateAuthToken("a token that Authenticate returned")
	fmt.Println(conn.Target())
	// Output: 127.0.0.1:2379
}

// A Bundle has both the token and the TLS credentials, for programs that pass a gRPC credentials
// bundle.
func ExampleNewBundle() {
	bundle := credentials.NewBundle(credentials.Config{
		TLSConfig: &tls.Config{ServerName: "etcd.example"}})
	bundle.UpdateAuthToken("a token that Authenticate returned")
	fmt.Println(bundle.TransportCredentials().Info().SecurityProtocol)
	// Output: tls
}
