// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/pb"
)

// maxAnswer limits the bytes of an answer. gRPC's default limit is 4 MiB, which answers for large frames exceed.
const maxAnswer = 256 << 20

// traceParent is the header of W3C Trace Context.
const traceParent = "traceparent"

// grpcTransport implements the protocol over gRPC.
type grpcTransport struct {
	conn   *grpc.ClientConn
	client pb.GRPCInferenceServiceClient
}

// dial returns a transport, which connects with its first request. It calls connected for each connection that may lead
// to a different server than before.
func (c *Client) dial(at Endpoint, connected func()) (transport, error) {
	if at.HTTP {
		return c.dialHTTP(at, connected)
	}
	creds := insecure.NewCredentials()
	if at.TLS {
		creds = credentials.NewTLS(c.opts.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithStatsHandler(connectionCounter{connected: connected}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstWait, Multiplier: 2, Jitter: 0.2, MaxDelay: longestWait},
			MinConnectTimeout: c.opts.Timeout,
		}),
		grpc.WithNoProxy(),
	}
	if c.opts.Credentials != nil {
		options = append(options, grpc.WithPerRPCCredentials(c.opts.Credentials))
	}
	conn, err := grpc.NewClient("passthrough:///"+at.address(), options...)
	if err != nil {
		return nil, err
	}
	return &grpcTransport{conn: conn, client: pb.NewGRPCInferenceServiceClient(conn)}, nil
}

func (t *grpcTransport) serverReady(ctx context.Context) error {
	t.conn.ResetConnectBackoff() // the endpoint has already waited
	ready, err := t.client.ServerReady(ctx, &pb.ServerReadyRequest{})
	if err != nil {
		return grpcError(err)
	}
	if !ready.GetReady() {
		return errNotReady
	}
	return nil
}

var (
	errNotReady      = errors.New("the server is not ready")
	errModelNotReady = errors.New("the model is not loaded")
)

func (t *grpcTransport) modelReady(ctx context.Context, name, version string) error {
	ready, err := t.client.ModelReady(ctx, &pb.ModelReadyRequest{Name: name, Version: version})
	if err != nil {
		return grpcError(err)
	}
	if !ready.GetReady() {
		return errModelNotReady
	}
	return nil
}

func (t *grpcTransport) modelMetadata(ctx context.Context, name string) (metadata, error) {
	got, err := t.client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: name})
	if err != nil {
		return metadata{}, grpcError(err)
	}
	read := func(all []*pb.ModelMetadataResponse_TensorMetadata) (tensors []tensorMetadata) {
		for _, t := range all {
			tensors = append(tensors, tensorMetadata{Name: t.GetName(), Datatype: t.GetDatatype(), Shape: t.GetShape()})
		}
		return tensors
	}
	return metadata{versions: got.GetVersions(), inputs: read(got.GetInputs()), outputs: read(got.GetOutputs())}, nil
}

func (t *grpcTransport) infer(ctx context.Context, r *request, version string) (answer, error) {
	message := &pb.ModelInferRequest{ModelName: r.session.Model.Name, ModelVersion: version}
	for i, info := range r.session.inputs {
		message.Inputs = append(message.Inputs, &pb.ModelInferRequest_InferInputTensor{
			Name: info.Name, Datatype: datatypes[info.Type], Shape: r.inputs[i].Shape,
		})
		message.RawInputContents = append(message.RawInputContents, encode(&r.inputs[i]))
	}
	for _, info := range r.session.outputs {
		message.Outputs = append(message.Outputs, &pb.ModelInferRequest_InferRequestedOutputTensor{Name: info.Name})
	}
	if parent := r.span.TraceParent(); parent != "" {
		ctx = grpcmetadata.AppendToOutgoingContext(ctx, traceParent, parent)
	}
	got, err := t.client.ModelInfer(ctx, message)
	if err != nil {
		return nil, grpcError(err)
	}
	if raw := len(got.GetRawOutputContents()); raw > 0 && raw != len(got.GetOutputs()) {
		return nil, fmt.Errorf("the answer has %d outputs, but the contents of %d", len(got.GetOutputs()), raw)
	}
	given := make(answer, len(got.GetOutputs()))
	for i, o := range got.GetOutputs() {
		given[i] = output{name: o.GetName(), datatype: o.GetDatatype(), shape: o.GetShape()}
		if len(got.GetRawOutputContents()) > 0 {
			given[i].data = got.GetRawOutputContents()[i]
		} else {
			given[i].Tensor = contents(o.GetContents())
		}
	}
	return given, nil
}

// contents returns the elements of a tensor from a server that does not send them raw.
func contents(c *pb.InferTensorContents) (t inference.Tensor) {
	switch {
	case len(c.GetFp32Contents()) > 0:
		t.Float32 = c.GetFp32Contents()
	case len(c.GetInt64Contents()) > 0:
		t.Int64 = c.GetInt64Contents()
	case len(c.GetUintContents()) > 0:
		t.Uint8 = make([]uint8, len(c.GetUintContents()))
		for i, v := range c.GetUintContents() {
			t.Uint8[i] = uint8(v)
		}
	}
	return t
}

func (t *grpcTransport) close() error { return t.conn.Close() }

// grpcError returns the error from a server or the connection without gRPC's wording.
func grpcError(err error) error {
	s := status.Convert(err)
	return fmt.Errorf("%s (%s)", s.Message(), s.Code())
}

// connectionCounter calls connected for each connection.
type connectionCounter struct{ connected func() }

// HandleConn implements stats.Handler.
func (c connectionCounter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, begins := s.(*stats.ConnBegin); begins {
		c.connected()
	}
}

// TagConn implements stats.Handler.
func (connectionCounter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

// TagRPC implements stats.Handler.
func (connectionCounter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (connectionCounter) HandleRPC(context.Context, stats.RPCStats) {}
