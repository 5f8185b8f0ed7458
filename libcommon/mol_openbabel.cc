/*
 * mol_openbabel.cc - the one file that touches Open Babel (C++), behind the C functions of mol_openbabel.h.
 *
 * Start-up: Open Babel loads every plug-in of its folder (125 of them, 14 to 20 ms). It is shown a folder that holds
 * links to the two in use instead, for as long as it looks. Its own messages are silenced and its exceptions end
 * here. ReadMolecule is called on a conversion that was built beforehand.
 */
#include "mol_openbabel.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <unistd.h>

#include <openbabel/alias.h>
#include <openbabel/atom.h>
#include <openbabel/babelconfig.h>
#include <openbabel/bond.h>
#include <openbabel/mol.h>
#include <openbabel/obconversion.h>
#include <openbabel/oberror.h>
#include <openbabel/obiter.h>
#include <openbabel/stereo/cistrans.h>
#include <openbabel/stereo/stereo.h>
#include <openbabel/stereo/tetrahedral.h>
#include <openbabel/tokenst.h>

/*
 * Its reader of molfiles ends with a perception of stereo, whose search for symmetry need not end and of which nothing
 * is used. A definition in the program comes before the library's: the reader meets these.
 */
namespace OpenBabel
{
void StereoFrom0D(OBMol *mol)
{
	mol->SetChiralityPerceived();
}
void StereoFrom2D(OBMol *mol, std::map<OBBond *, OBStereo::BondDirection> *, bool)
{
	mol->SetChiralityPerceived();
}
void StereoFrom3D(OBMol *mol, bool)
{
	mol->SetChiralityPerceived();
}
/*
 * Its search for a table begins in the current folder, which may be anybody's: a superatom.txt there would change what
 * abbreviations mean. This one looks where the environment variable says, or else at the installation.
 */
std::string OpenDatafile(std::ifstream &file, const std::string &name, const std::string &variable)
{
	const char *user = getenv(variable.c_str());
	std::string folder = user && *user ? user : BABEL_DATADIR;
	for (const std::string &path : {folder + "/" + BABEL_VERSION + "/" + name, folder + "/" + name}) {
		file.close();
		file.clear();
		file.open(path.c_str());
		if (file)
			return path;
	}
	return "";
}
} // namespace OpenBabel

using namespace OpenBabel;

static OBConversion *conversion[2];
static const char *const format_ids[2] = {"smi", "mol"};
static const char *const plugin_files[2] = {"smilesformat.so", "mdlformat.so"};

/* Folder of Open Babel's plug-ins: the user's, else the one beside the library. */
static std::string plugin_folder()
{
	const char *user = getenv("BABEL_LIBDIR");
	Dl_info info;
	if (user && *user)
		return user;
	OBFormat *(*find)(const char *) = &OBConversion::FindFormat;
	if (!dladdr(reinterpret_cast<void *>(find), &info) || !info.dli_fname)
		return "";
	char *real = realpath(info.dli_fname, nullptr);
	std::string path = real ? real : info.dli_fname;
	free(real);
	size_t slash = path.rfind('/');
	return slash == std::string::npos ? "" : path.substr(0, slash) + "/openbabel/" + BABEL_VERSION;
}

static bool find_formats()
{
	for (int k = 0; k < 2; k++) {
		OBFormat *format = OBConversion::FindFormat(format_ids[k]);
		if (!format)
			return false;
		conversion[k] = new OBConversion;
		conversion[k]->SetInFormat(format);
	}
	return true;
}

/* With a folder of links to the plug-ins in use; false when it cannot be made (then all are loaded). */
static bool show_few_plugins(std::string &folder)
{
	const char *temp = getenv("TMPDIR");
	std::string from = plugin_folder(), pattern = std::string(temp && *temp ? temp : "/tmp") + "/molrill.XXXXXX";
	if (from.empty() || !mkdtemp(&pattern[0]))
		return false;
	folder = pattern;
	for (const char *file : plugin_files) {
		std::string source = from + "/" + file;
		if (access(source.c_str(), R_OK) || symlink(source.c_str(), (folder + "/" + file).c_str()))
			return false;
	}
	return true;
}

extern "C" int babel_start(char *msg, size_t n_msg)
{
	if (conversion[1])
		return 0;
	try {
		const char *user = getenv("BABEL_LIBDIR");
		std::string folder, before = user ? user : "";
		bool had = user != nullptr;
		/* Threads of its OpenMP would make a loaded machine slower; the library has read the environment
		 * already. */
		void *set_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
		if (set_threads)
			reinterpret_cast<void (*)(int)>(set_threads)(1);
		obErrorLog.StopLogging();
		if (show_few_plugins(folder))
			setenv("BABEL_LIBDIR", folder.c_str(), 1);
		bool good = find_formats();
		if (had)
			setenv("BABEL_LIBDIR", before.c_str(), 1);
		else
			unsetenv("BABEL_LIBDIR");
		if (!folder.empty()) {
			for (const char *file : plugin_files)
				unlink((folder + "/" + file).c_str());
			rmdir(folder.c_str());
		}
		if (!good) {
			snprintf(msg, n_msg, "Open Babel's formats for SMILES and molfiles cannot be loaded");
			return -1;
		}
		return 0;
	} catch (const std::exception &x) {
		snprintf(msg, n_msg, "Open Babel: %s", x.what());
	} catch (...) {
		snprintf(msg, n_msg, "Open Babel failed at its start");
	}
	return -1;
}

extern "C" const char *babel_version(void)
{
	return BABEL_VERSION;
}

extern "C" int babel_data_path(const char *name, char *path, size_t n_path)
{
	try {
		std::ifstream file;
		std::string found = OpenDatafile(file, name);
		if (!file || found.empty() || found.size() >= n_path)
			return -1;
		snprintf(path, n_path, "%s", found.c_str());
		return 0;
	} catch (...) {
		return -1;
	}
}

template <typename T> static T *take(size_t n)
{
	T *p = static_cast<T *>(calloc(n + 1, sizeof(T)));
	if (!p)
		throw std::bad_alloc();
	return p;
}

static int32_t place_of(OBMol &mol, unsigned long ref)
{
	OBAtom *atom = ref == OBStereo::ImplicitRef ? nullptr : mol.GetAtomById(ref);
	return atom ? static_cast<int32_t>(atom->GetIdx()) - 1 : -1;
}

static void take_stereo(OBMol &mol, struct babel_mol *out)
{
	OBStereoFacade facade(&mol);
	out->center = take<struct babel_center>(mol.NumAtoms());
	out->cistrans = take<struct babel_cistrans>(mol.NumBonds());
	FOR_ATOMS_OF_MOL(atom, mol)
	{
		if (!facade.HasTetrahedralStereo(atom->GetId()))
			continue;
		OBTetrahedralStereo::Config c = facade.GetTetrahedralStereo(atom->GetId())->GetConfig();
		if (!c.specified || c.refs.size() != 3)
			continue;
		struct babel_center *o = &out->center[out->n_center++];
		o->atom = place_of(mol, c.center);
		o->nbr[0] = place_of(mol, c.from);
		for (int k = 0; k < 3; k++)
			o->nbr[k + 1] = place_of(mol, c.refs[k]);
		if ((c.winding == OBStereo::AntiClockwise) != (c.view == OBStereo::ViewTowards))
			std::swap(o->nbr[1], o->nbr[2]);
	}
	FOR_BONDS_OF_MOL(bond, mol)
	{
		if (!facade.HasCisTransStereo(bond->GetId()))
			continue;
		OBCisTransStereo::Config c = facade.GetCisTransStereo(bond->GetId())->GetConfig(OBStereo::ShapeU);
		if (!c.specified || c.refs.size() != 4)
			continue;
		/* Shape U: refs[0] and refs[3] on one side, refs[1] and refs[2] on the other; 0 and 1 on `begin`. */
		for (int p = 0; p < 2; p++)
			for (int q = 2; q < 4; q++) {
				int32_t x = place_of(mol, c.refs[p]), y = place_of(mol, c.refs[q]);
				struct babel_cistrans *o = &out->cistrans[out->n_cistrans];
				if (x < 0 || y < 0 || (out->n_cistrans && o[-1].atom[0] == place_of(mol, c.begin)))
					continue;
				*o = {{place_of(mol, c.begin), place_of(mol, c.end)}, {x, y}, p + q == 3};
				out->n_cistrans++;
			}
	}
}

static void take_molecule(OBMol &mol, bool stereo, struct babel_mol *out)
{
	out->atom = take<struct babel_atom>(mol.NumAtoms());
	out->bond = take<struct babel_bond>(mol.NumBonds());
	out->dimension = mol.GetDimension();
	FOR_ATOMS_OF_MOL(atom, mol)
	{
		struct babel_atom *a = &out->atom[out->n_atom++];
		a->z = static_cast<int32_t>(atom->GetAtomicNum());
		a->charge = atom->GetFormalCharge();
		a->isotope = static_cast<int32_t>(atom->GetIsotope());
		a->n_implicit_h = static_cast<int32_t>(atom->GetImplicitHCount());
		a->spin = atom->GetSpinMultiplicity();
		a->pos[0] = atom->GetX();
		a->pos[1] = atom->GetY();
		a->pos[2] = atom->GetZ();
	}
	FOR_BONDS_OF_MOL(bond, mol)
	{
		struct babel_bond *b = &out->bond[out->n_bond++];
		b->a = static_cast<int32_t>(bond->GetBeginAtomIdx()) - 1;
		b->b = static_cast<int32_t>(bond->GetEndAtomIdx()) - 1;
		b->order = static_cast<int32_t>(bond->GetBondOrder());
		b->wedge = bond->IsWedge() ? 1 : bond->IsHash() ? -1 : bond->IsWedgeOrHash() ? 2 : 0;
		b->crossed = bond->IsCisOrTrans();
	}
	if (stereo)
		take_stereo(mol, out);
}

/* Whether atoms in space were made out of an abbreviation: their places are nobody's. */
static bool has_invented_places(OBMol &mol)
{
	if (mol.GetDimension() != 3)
		return false;
	FOR_ATOMS_OF_MOL(atom, mol)
	{
		AliasData *alias = static_cast<AliasData *>(atom->GetData(AliasDataType));
		if (alias && alias->IsExpanded())
			return true;
	}
	return false;
}

extern "C" int babel_read(int format, const char *text, size_t n, struct babel_mol *out, char *msg, size_t n_msg)
{
	memset(out, 0, sizeof *out);
	if (babel_start(msg, n_msg))
		return -1;
	try {
		std::istringstream in(std::string(text, n));
		OBMol mol;
		conversion[format]->SetInStream(&in);
		if (!conversion[format]->GetInFormat()->ReadMolecule(&mol, conversion[format])) {
			snprintf(msg, n_msg, "Open Babel refuses it");
			return 1;
		}
		if (has_invented_places(mol)) {
			snprintf(msg, n_msg, "abbreviated atoms in three dimensions");
			return 1;
		}
		take_molecule(mol, format == 0, out);
		return 0;
	} catch (const std::exception &x) {
		snprintf(msg, n_msg, "Open Babel: %s", x.what());
	} catch (...) {
		snprintf(msg, n_msg, "Open Babel failed");
	}
	babel_free(out);
	return 1;
}

extern "C" void babel_free(struct babel_mol *m)
{
	free(m->atom);
	free(m->bond);
	free(m->center);
	free(m->cistrans);
	memset(m, 0, sizeof *m);
}
