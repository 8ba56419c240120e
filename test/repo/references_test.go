// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// References to the source in a document are code spans, in one of these forms:
//
//	`dir/file.go`, `dir/`, `dir/*.go`         exists, below the repository's root or below receiver/videoanonymizer
//	`dir/file.go:Name`, `dir/file.go:T.Name`  the file declares the name, exported or not; T.Name is a method or a field
//	`pkg.Name`, `pkg.T.Name`                  a package of that name in this repository declares the exported name
//	`T.Name`                                  a package of this repository declares the exported type, with this member
//
// Name may end in (). Other code spans are not references: those with spaces, those with a placeholder in angle
// brackets, absolute paths, paths that git ignores, addresses, import paths, and names of packages outside this
// repository. Code in fences is not checked.
var (
	pathReference = regexp.MustCompile(`^([\w.*-]+/[\w./*-]*)(?:: ?([\w.]+?)(?:\(\))?)?$`)
	nameReference = regexp.MustCompile(`^(\w+)((?:\.[A-Z]\w*){1,2}?)(?:\(\))?$`)
	codeSpan      = regexp.MustCompile("`([^`\n]+)`")
	fence         = regexp.MustCompile("(?ms)^ *```.*?^ *```")
)

// source is what the Go files of this repository declare.
type source struct {
	// identifiers has, for each file, what it declares: functions, types, variables and constants as Name; methods,
	// fields and methods of interfaces as Type.Name.
	identifiers map[string]map[string]bool
	// packages has the files of each package name.
	packages map[string][]string
}

// check returns the number of references in a document, and those whose target does not exist.
func (s source) check(document string) (checked int, missing []string) {
	for _, span := range codeSpan.FindAllStringSubmatch(prose(document), -1) {
		reference, exists := s.resolve(span[1])
		if !reference {
			continue
		}
		checked++
		if !exists {
			missing = append(missing, span[1])
		}
	}
	return checked, missing
}

// resolve reports whether a code span is a reference, and whether its target exists.
func (s source) resolve(span string) (reference, exists bool) {
	if match := pathReference.FindStringSubmatch(span); match != nil {
		path, name := match[1], match[2]
		if host, _, _ := strings.Cut(path, "/"); strings.Contains(strings.TrimPrefix(host, "."), ".") {
			return false, false // an import path
		}
		if ignored(path) {
			return false, false // built or fetched, so it may be missing
		}
		return true, s.hasPath(path, name)
	}
	match := nameReference.FindStringSubmatch(span)
	if match == nil {
		return false, false
	}
	first, rest := match[1], strings.TrimPrefix(match[2], ".")
	if files, ok := s.packages[first]; ok {
		return true, s.declares(files, rest)
	}
	if token.IsExported(first) {
		for file := range s.identifiers {
			if s.declares([]string{file}, first+"."+rest) {
				return true, true
			}
		}
		return true, false
	}
	return false, false // of a package outside this repository
}

func (s source) hasPath(path, name string) bool {
	for _, base := range []string{"", "receiver/videoanonymizer"} {
		found, _ := filepath.Glob(filepath.Join(root, base, path)) // an error means a bad pattern, which finds nothing
		if len(found) > 0 && (name == "" || s.declares([]string{filepath.Join(base, path)}, name)) {
			return true
		}
	}
	return false
}

// ignored reports whether git ignores a path, such as a built program.
func ignored(path string) bool {
	command := exec.Command("git", "check-ignore", "--quiet", path)
	command.Dir = root
	return command.Run() == nil
}

func (s source) declares(files []string, name string) bool {
	for _, file := range files {
		if s.identifiers[file][name] {
			return true
		}
	}
	return false
}

func parseSource(t *testing.T) source {
	t.Helper()
	s := source{identifiers: map[string]map[string]bool{}, packages: map[string][]string{}}
	for _, path := range files(t, "*.go") {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		s.packages[file.Name.Name] = append(s.packages[file.Name.Name], path)
		s.identifiers[path] = identifiers(file)
	}
	delete(s.packages, "main")
	return s
}

func identifiers(file *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			names[receiverPrefix(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range s.Names {
						names[name.Name] = true
					}
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, member := range members(s.Type) {
						names[s.Name.Name+"."+member] = true
					}
				}
			}
		}
	}
	return names
}

// receiverPrefix returns "Type." for a method, and nothing for a function.
func receiverPrefix(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	typ := function.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// members returns the fields of a struct, or the methods of an interface.
func members(typ ast.Expr) []string {
	var fields *ast.FieldList
	switch t := typ.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return nil
	}
	var names []string
	for _, field := range fields.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// prose returns a document without the code in fences.
func prose(document string) string {
	return fence.ReplaceAllString(document, "")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
