// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package tfjs reads TensorFlow.js graph models: a model.json file, which contains a TensorFlow GraphDef, and binary
// weights (https://github.com/tensorflow/tfjs/tree/tfjs-v4.22.0/tfjs-converter#format-conversion).
package tfjs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Model is a graph with its weights.
type Model struct {
	Nodes   map[string]*Node
	Weights map[string]*Tensor // by name of their Const node
}

// Node is one operation of the graph.
type Node struct {
	Name   string
	Op     string
	Inputs []Ref
	Attrs  Attrs
}

// Ref refers to one output of a node.
type Ref struct {
	Node   string
	Output int
}

// Read reads a model from its model.json file, called name in fsys, and its weights from the same directory.
func Read(fsys fs.FS, name string) (*Model, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var file modelFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s is not a TensorFlow.js model: %w", name, err)
	}
	if len(file.Topology.Nodes) == 0 {
		return nil, fmt.Errorf("%s is not a TensorFlow.js graph model: it has no modelTopology.node "+
			"(a layers model cannot be converted)", name)
	}
	m := &Model{Nodes: make(map[string]*Node, len(file.Topology.Nodes)), Weights: map[string]*Tensor{}}
	for _, n := range file.Topology.Nodes {
		node, err := n.node()
		if err != nil {
			return nil, fmt.Errorf("%s: node %q: %w", name, n.Name, err)
		}
		if m.Nodes[node.Name] != nil {
			return nil, fmt.Errorf("%s: node %q is defined twice", name, n.Name)
		}
		m.Nodes[node.Name] = node
	}
	for _, group := range file.Weights {
		if err := m.readWeights(fsys, path.Dir(name), group); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return m, nil
}

// readWeights reads a group: its files, concatenated, contain its weights one after another.
func (m *Model) readWeights(fsys fs.FS, dir string, group weightGroup) error {
	var buf []byte
	for _, p := range group.Paths {
		part, err := fs.ReadFile(fsys, path.Join(dir, p))
		if err != nil {
			return err
		}
		buf = append(buf, part...)
	}
	for _, w := range group.Weights {
		t, n, err := w.decode(buf)
		if err != nil {
			return fmt.Errorf("weight %q: %w", w.Name, err)
		}
		m.Weights[w.Name] = t
		buf = buf[n:]
	}
	if len(buf) != 0 {
		return fmt.Errorf("weights %v are %d bytes longer than model.json says", group.Paths, len(buf))
	}
	return nil
}

type modelFile struct {
	Topology struct {
		Nodes []jsonNode `json:"node"`
	} `json:"modelTopology"`
	Weights []weightGroup `json:"weightsManifest"`
}

type weightGroup struct {
	Paths   []string     `json:"paths"`
	Weights []weightSpec `json:"weights"`
}

type weightSpec struct {
	Name         string `json:"name"`
	Shape        []int  `json:"shape"`
	DType        string `json:"dtype"`
	Quantization *struct {
		DType string  `json:"dtype"`
		Scale float64 `json:"scale"`
		Min   float64 `json:"min"`
	} `json:"quantization"`
}

type jsonNode struct {
	Name   string   `json:"name"`
	Op     string   `json:"op"`
	Inputs []string `json:"input"`
	Attrs  Attrs    `json:"attr"`
}

func (n jsonNode) node() (*Node, error) {
	if n.Name == "" || n.Op == "" {
		return nil, errors.New("name and op must be set")
	}
	node := &Node{Name: n.Name, Op: n.Op, Attrs: n.Attrs}
	for _, input := range n.Inputs {
		if strings.HasPrefix(input, "^") { // a control dependency, without a value
			continue
		}
		ref, err := ParseRef(input)
		if err != nil {
			return nil, err
		}
		node.Inputs = append(node.Inputs, ref)
	}
	return node, nil
}

// ParseRef parses "node" or "node:output".
func ParseRef(s string) (Ref, error) {
	name, output, found := strings.Cut(s, ":")
	ref := Ref{Node: name}
	if found {
		if _, err := fmt.Sscanf(output, "%d", &ref.Output); err != nil || ref.Output < 0 {
			return Ref{}, fmt.Errorf("input %q must look like node or node:1", s)
		}
	}
	return ref, nil
}
