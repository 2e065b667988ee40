// Command tracing uses OpenTelemetry to record a span for each request of a client, as a child of
// the program's own span. It writes the spans to standard output.
//
// With -demo it prints one line for each span instead: the span's name and its parent's name.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

func main() { demo.Main(run, summary) }

// run records a span around three requests, and writes this span and those of the requests to out.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(out))
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	defer func() {
		// Shutdown writes all spans that are not written yet. It needs a context of its own,
		// because ctx may have ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, provider.Shutdown(ctx))
	}()
	client, err := clientv3.New(traced(clientv3.Config{Endpoints: endpoints}, provider))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	ctx, span := provider.Tracer("examples/tracing").Start(ctx, "rename")
	defer span.End()
	return rename(ctx, client, "examples/tracing/old", "examples/tracing/new")
}

// traced adds a stats handler to cfg. The handler records a span for each attempt of a request, and
// sends the trace's id to the servers. The filter leaves out the health checks, which the client
// makes by itself.
func traced(cfg clientv3.Config, provider trace.TracerProvider) clientv3.Config {
	handler := otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(provider),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return info.FullMethodName != "/grpc.health.v1.Health/Watch"
		}))
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithStatsHandler(handler))
	return cfg
}

// rename puts a key, and then moves its value to another key.
func rename(ctx context.Context, client *clientv3.Client, from, to string) error {
	if _, err := client.Put(ctx, from, "value"); err != nil {
		return err
	}
	resp, err := client.Get(ctx, from)
	if err != nil {
		return err
	}
	for _, kv := range resp.Kvs {
		_, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(from), "=", kv.ModRevision)).
			Then(clientv3.OpPut(to, string(kv.Value)), clientv3.OpDelete(from)).
			Commit()
		if err != nil {
			return err
		}
	}
	return nil
}

// summary runs the program and prints one line for each span.
func summary(ctx context.Context, out io.Writer, endpoints []string) error {
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { writer.CloseWithError(run(ctx, writer, endpoints)) }()
	spans, err := decode(reader)
	if err != nil {
		return err
	}
	names := map[string]string{"0000000000000000": "no other"}
	for _, span := range spans {
		names[span.SpanContext.SpanID] = span.Name
	}
	for _, span := range spans {
		fmt.Fprintf(out, "span %s, child of %s\n", span.Name, names[span.Parent.SpanID])
	}
	return nil
}

// span has the fields that summary needs of a span in the exporter's JSON output.
type span struct {
	Name                string
	SpanContext, Parent struct{ SpanID string }
}

func decode(in io.Reader) (spans []span, err error) {
	for decoder := json.NewDecoder(in); ; {
		var next span
		if err := decoder.Decode(&next); err != nil {
			if errors.Is(err, io.EOF) {
				return spans, nil
			}
			return nil, err
		}
		spans = append(spans, next)
	}
}
