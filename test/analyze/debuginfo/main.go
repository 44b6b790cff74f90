// Command debuginfo tells what the compiler and the linker themselves wrote about a program: the structs of package
// runtime that are named on the command line, from DWARF; variables and functions, from the symbol table. One JSON
// document.
package main

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type structure struct {
	Size   int64            `json:"size"`
	Fields map[string]int64 `json:"fields"`
}

type function struct {
	Name  string `json:"name"`
	Entry uint64 `json:"entry"`
}

type answer struct {
	Entry     uint64               `json:"entry"`
	Structs   map[string]structure `json:"structs"`
	Variables map[string]uint64    `json:"variables"` // of package runtime
	Functions []function           `json:"functions"`
}

func main() {
	if len(os.Args) < 2 {
		fatal(fmt.Errorf("usage: debuginfo PROGRAM [STRUCT...]"))
	}
	file, err := elf.Open(os.Args[1])
	if err != nil {
		fatal(err)
	}
	out := answer{file.Entry, map[string]structure{}, map[string]uint64{}, nil}
	symbols, err := file.Symbols()
	if err != nil {
		fatal(err)
	}
	for _, s := range symbols {
		switch elf.ST_TYPE(s.Info) {
		case elf.STT_OBJECT:
			if name := strings.TrimPrefix(s.Name, "runtime."); name != s.Name {
				out.Variables[name] = s.Value
			}
		case elf.STT_FUNC:
			out.Functions = append(out.Functions, function{s.Name, s.Value})
		}
	}
	wanted := map[string]bool{}
	for _, name := range os.Args[2:] {
		wanted["runtime."+name] = true
	}
	if len(wanted) > 0 {
		data, err := file.DWARF()
		if err != nil {
			fatal(err)
		}
		if err := readStructs(data, wanted, out.Structs); err != nil {
			fatal(err)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fatal(err)
	}
}

// readStructs looks at what lies at the top of the compilation units, until it has seen all that is wanted.
func readStructs(data *dwarf.Data, wanted map[string]bool, out map[string]structure) error {
	reader := data.Reader()
	for len(out) < len(wanted) {
		entry, err := reader.Next()
		if err != nil || entry == nil {
			return err
		}
		if entry.Tag == dwarf.TagCompileUnit {
			continue
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		if entry.Tag == dwarf.TagStructType && wanted[name] {
			if err := readStruct(data, entry.Offset, name, out); err != nil {
				return err
			}
		}
		reader.SkipChildren()
	}
	return nil
}

func readStruct(data *dwarf.Data, offset dwarf.Offset, name string, out map[string]structure) error {
	typ, err := data.Type(offset)
	if err != nil {
		return err
	}
	of, ok := typ.(*dwarf.StructType)
	if !ok {
		return fmt.Errorf("%s is no struct", name)
	}
	fields := map[string]int64{}
	for _, field := range of.Field {
		fields[field.Name] = field.ByteOffset
	}
	out[strings.TrimPrefix(name, "runtime.")] = structure{of.ByteSize, fields}
	return nil
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "debuginfo:", err)
	os.Exit(1)
}
