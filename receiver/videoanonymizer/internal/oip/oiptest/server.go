// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package oiptest provides a server for tests that implements the Open Inference Protocol v2 with sessions in this
// process, over gRPC and HTTP. The server can be stopped and started again, and made to fail.
package oiptest

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/pb"
)

// Options configure a server.
type Options struct {
	Models map[string]inference.Session
	// Versions are the versions of each model, if any.
	Versions []string
	// HTTP serves HTTP instead of gRPC. JSON disables the binary extension.
	HTTP, JSON bool
	// Contents makes gRPC answers use typed contents instead of raw ones.
	Contents bool
	TLS      *tls.Config
	// Token is the bearer token that every request must have. If it is empty, requests need none.
	Token string
}

// Server is a server that listens on loopback. Its methods are safe for concurrent use.
type Server struct {
	pb.UnimplementedGRPCInferenceServiceServer
	opts    Options
	address string

	mu       sync.Mutex
	models   map[string]inference.Session
	stop     func()
	fault    Fault
	parents  []string
	inFlight int
	peak     int
	answered int
}

// Fault may change an answer, or return an error instead. ErrCut ends the connection in the middle of the answer, which
// is possible only with HTTP.
type Fault func(ctx context.Context, model string, reply *pb.ModelInferResponse) error

// ErrCut is the error with which a Fault cuts an answer off.
var ErrCut = errors.New("cut off")

// New returns a server that is not started.
func New(opts Options) *Server {
	s := &Server{opts: opts, models: map[string]inference.Session{}, stop: func() {}}
	for name, session := range opts.Models {
		s.models[name] = session
	}
	return s
}

// Start listens on the same port as before, if any.
func (s *Server) Start() error {
	var config net.ListenConfig
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = listener.Addr().String()
	done := make(chan struct{})
	if s.opts.HTTP {
		server := &http.Server{Handler: http.HandlerFunc(s.serveHTTP), TLSConfig: s.opts.TLS} //nolint:gosec // in tests
		go func() {
			defer close(done)
			if s.opts.TLS != nil {
				_ = server.ServeTLS(listener, "", "")
			} else {
				_ = server.Serve(listener)
			}
		}()
		s.stop = func() { _ = server.Close(); <-done }
		return nil
	}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(256 << 20)}
	if s.opts.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.opts.TLS)))
	}
	server := grpc.NewServer(options...)
	pb.RegisterGRPCInferenceServiceServer(server, s)
	go func() { defer close(done); _ = server.Serve(listener) }()
	s.stop = func() { server.Stop(); <-done }
	return nil
}

// Stop closes all connections immediately.
func (s *Server) Stop() {
	s.mu.Lock()
	stop := s.stop
	s.stop = func() {}
	s.mu.Unlock()
	stop()
}

// Endpoint returns the URL of the server as used in the configuration.
func (s *Server) Endpoint() string {
	scheme := "grpc"
	if s.opts.HTTP {
		scheme = "http"
	}
	if s.opts.TLS != nil {
		scheme += "s"
	}
	return scheme + "://" + s.address
}

// Address returns the host and port that the server listens on.
func (s *Server) Address() string { return s.address }

// Fail applies the fault to all further answers. Nil ends that.
func (s *Server) Fail(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Load serves another session as a model. If it is nil, the model is no longer served.
func (s *Server) Load(model string, session inference.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[model] = session
}

// TraceParents returns the traceparent headers of the requests so far, except of those without one.
func (s *Server) TraceParents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.parents...)
}

// Answered returns the number of inferences so far, and the maximum number of concurrent ones.
func (s *Server) Answered() (answered, peak int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered, s.peak
}

func (s *Server) model(name, version string) (inference.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.models[name]
	known := version == ""
	for _, v := range s.opts.Versions {
		known = known || v == version
	}
	if session == nil || !known {
		return nil, status.Errorf(codes.NotFound, "unknown model %s, version %q", name, version)
	}
	return session, nil
}

func (s *Server) authorize(header string) error {
	if s.opts.Token != "" && header != "Bearer "+s.opts.Token {
		return status.Error(codes.Unauthenticated, "no valid token")
	}
	return nil
}

func (s *Server) authorizeGRPC(ctx context.Context) error {
	return s.authorize(strings.Join(grpcmetadata.ValueFromIncomingContext(ctx, "authorization"), ""))
}

// ServerReady implements the protocol.
func (s *Server) ServerReady(ctx context.Context, _ *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: true}, s.authorizeGRPC(ctx)
}

// ServerMetadata implements the protocol.
func (s *Server) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	meta := &pb.ServerMetadataResponse{Name: "oiptest", Version: "1"}
	if !s.opts.JSON {
		meta.Extensions = []string{"binary_tensor_data"}
	}
	return meta, nil
}

// ModelReady implements the protocol.
func (s *Server) ModelReady(_ context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	_, err := s.model(r.GetName(), r.GetVersion())
	return &pb.ModelReadyResponse{Ready: err == nil}, nil
}

var datatypes = map[string]string{"uint8": "UINT8", "int64": "INT64", "float": "FP32"}

// ModelMetadata implements the protocol.
func (s *Server) ModelMetadata(_ context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	session, err := s.model(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	describe := func(infos []inference.TensorInfo) (all []*pb.ModelMetadataResponse_TensorMetadata) {
		for _, info := range infos {
			all = append(all, &pb.ModelMetadataResponse_TensorMetadata{
				Name: info.Name, Datatype: datatypes[info.Type], Shape: info.Shape,
			})
		}
		return all
	}
	return &pb.ModelMetadataResponse{Name: r.GetName(), Versions: s.opts.Versions, Platform: "onnxruntime",
		Inputs: describe(session.Inputs()), Outputs: describe(session.Outputs())}, nil
}

// ModelInfer implements the protocol.
func (s *Server) ModelInfer(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	if err := s.authorizeGRPC(ctx); err != nil {
		return nil, err
	}
	reply, err := s.infer(ctx, r, strings.Join(grpcmetadata.ValueFromIncomingContext(ctx, "traceparent"), ""))
	if err != nil || !s.opts.Contents {
		return reply, err
	}
	for i, raw := range reply.GetRawOutputContents() {
		values := make([]float32, len(raw)/4)
		for k := range values {
			values[k] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:]))
		}
		reply.Outputs[i].Contents = &pb.InferTensorContents{Fp32Contents: values}
	}
	reply.RawOutputContents = nil
	return reply, nil
}

func (s *Server) infer(ctx context.Context, r *pb.ModelInferRequest, parent string) (*pb.ModelInferResponse, error) {
	s.mu.Lock()
	fault := s.fault
	if parent != "" {
		s.parents = append(s.parents, parent)
	}
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inFlight--
		s.answered++
	}()
	session, err := s.model(r.GetModelName(), r.GetModelVersion())
	if err != nil {
		return nil, err
	}
	inputs := make([]inference.Tensor, len(r.GetInputs()))
	for i, in := range r.GetInputs() {
		inputs[i] = tensor(in, r.GetRawInputContents()[i])
	}
	reply := &pb.ModelInferResponse{ModelName: r.GetModelName(), ModelVersion: r.GetModelVersion()}
	err = session.Run(ctx, inputs, func(outputs []inference.Tensor) error {
		for i, info := range session.Outputs() {
			reply.Outputs = append(reply.Outputs, &pb.ModelInferResponse_InferOutputTensor{
				Name: info.Name, Datatype: datatypes[info.Type], Shape: append([]int64(nil), outputs[i].Shape...),
			})
			reply.RawOutputContents = append(reply.RawOutputContents, raw(&outputs[i]))
		}
		return nil
	})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if fault != nil {
		if err := fault(ctx, r.GetModelName(), reply); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

func tensor(in *pb.ModelInferRequest_InferInputTensor, data []byte) inference.Tensor {
	t := inference.Tensor{Shape: in.GetShape()}
	switch in.GetDatatype() {
	case "UINT8":
		t.Uint8 = data
	case "INT64":
		for i := 0; i+8 <= len(data); i += 8 {
			t.Int64 = append(t.Int64, int64(binary.LittleEndian.Uint64(data[i:])))
		}
	default:
		for i := 0; i+4 <= len(data); i += 4 {
			t.Float32 = append(t.Float32, math.Float32frombits(binary.LittleEndian.Uint32(data[i:])))
		}
	}
	return t
}

func raw(t *inference.Tensor) []byte {
	data := append([]byte(nil), t.Uint8...)
	for _, v := range t.Int64 {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	for _, v := range t.Float32 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// serveHTTP maps the protocol over HTTP to the one over gRPC.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.authorize(r.Header.Get("Authorization")); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var name, version, action string
	if len(parts) > 2 && parts[1] == "models" {
		name = parts[2]
		if len(parts) > 4 && parts[3] == "versions" {
			version = parts[4]
			parts = append(parts[:3], parts[5:]...)
		}
		if len(parts) > 3 {
			action = parts[3]
		}
	}
	var reply any
	var err error
	switch {
	case r.URL.Path == "/v2/health/ready":
	case r.URL.Path == "/v2":
		reply, err = s.ServerMetadata(r.Context(), nil)
	case name == "":
		err = status.Error(codes.NotFound, "no such path")
	case action == "ready":
		_, err = s.model(name, version)
	case action == "infer":
		s.inferHTTP(w, r, name, version)
		return
	default:
		reply, err = s.ModelMetadata(r.Context(), &pb.ModelMetadataRequest{Name: name, Version: version})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(reply)
}

type httpTensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]int `json:"parameters,omitempty"`
	Data       []json.Number  `json:"data,omitempty"`
}

func (s *Server) inferHTTP(w http.ResponseWriter, r *http.Request, name, version string) {
	message, err := readRequest(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	message.ModelName, message.ModelVersion = name, version
	reply, err := s.infer(r.Context(), message, r.Header.Get("traceparent"))
	cut := errors.Is(err, ErrCut)
	if cut {
		reply, err = s.infer(r.Context(), message, "")
	}
	if cut && reply == nil {
		reply = &pb.ModelInferResponse{}
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var outputs []httpTensor
	var data []byte
	for i, o := range reply.GetOutputs() {
		out := httpTensor{Name: o.GetName(), Datatype: o.GetDatatype(), Shape: o.GetShape()}
		contents := reply.GetRawOutputContents()[i]
		if s.opts.JSON {
			for k := 0; k+4 <= len(contents); k += 4 {
				v := math.Float32frombits(binary.LittleEndian.Uint32(contents[k:]))
				out.Data = append(out.Data, json.Number(strconv.FormatFloat(float64(v), 'g', -1, 32)))
			}
		} else {
			out.Parameters = map[string]int{"binary_data_size": len(contents)}
			data = append(data, contents...)
		}
		outputs = append(outputs, out)
	}
	text, err := json.Marshal(map[string]any{"model_name": name, "model_version": version, "outputs": outputs})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !s.opts.JSON {
		w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(len(text)))
	}
	all := slices.Concat(text, data)
	w.Header().Set("Content-Length", strconv.Itoa(len(all)))
	if cut {
		all = all[:len(all)/2]
	}
	_, _ = w.Write(all)
	if cut {
		panic(http.ErrAbortHandler)
	}
}

func readRequest(r *http.Request) (*pb.ModelInferRequest, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	text, rest := body, []byte(nil)
	if n, err := strconv.Atoi(r.Header.Get("Inference-Header-Content-Length")); err == nil {
		text, rest = body[:n], body[n:]
	}
	var got struct {
		Inputs []httpTensor `json:"inputs"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, err
	}
	message := &pb.ModelInferRequest{}
	for _, in := range got.Inputs {
		message.Inputs = append(message.Inputs,
			&pb.ModelInferRequest_InferInputTensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape})
		var data []byte
		if size, ok := in.Parameters["binary_data_size"]; ok {
			data, rest = rest[:size], rest[size:]
		} else if data, err = packNumbers(in.Datatype, in.Data); err != nil {
			return nil, err
		}
		message.RawInputContents = append(message.RawInputContents, data)
	}
	return message, nil
}

func packNumbers(datatype string, all []json.Number) ([]byte, error) {
	var t inference.Tensor
	for _, number := range all {
		switch datatype {
		case "FP32":
			v, err := strconv.ParseFloat(number.String(), 32)
			if err != nil {
				return nil, err
			}
			t.Float32 = append(t.Float32, float32(v))
		case "UINT8", "INT64":
			v, err := number.Int64()
			if err != nil {
				return nil, err
			}
			if datatype == "UINT8" {
				t.Uint8 = append(t.Uint8, uint8(v))
			} else {
				t.Int64 = append(t.Int64, v)
			}
		default:
			return nil, fmt.Errorf("datatype %q", datatype)
		}
	}
	return raw(&t), nil
}
