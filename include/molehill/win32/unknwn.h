/* SPDX-License-Identifier: MIT */
/*
 * IUnknown, and in C++ __uuidof of the interfaces that are there.
 */
#pragma once

#include "../unknwn.h"
#include "basetyps.h"
#include "winerror.h"

#ifdef MH_COM_CXX

/* Interfaces of the program's own are added by MH_UUID_OF(name, iid). */
template <class Interface> struct mh_uuid_of;
template <class Interface> struct mh_uuid_of<Interface *> : public mh_uuid_of<Interface> {
};
template <class Interface> struct mh_uuid_of<Interface &> : public mh_uuid_of<Interface> {
};

#define MH_UUID_OF(name, iid)             \
    template <> struct mh_uuid_of<name> { \
        static const IID &get()           \
        {                                 \
            return iid;                   \
        }                                 \
    }

MH_UUID_OF(IUnknown, IID_IUnknown);

#define __uuidof(what) (mh_uuid_of<__typeof__(what)>::get())

template <class Interface> inline void **IID_PPV_ARGS_Helper(Interface **pp)
{
    return reinterpret_cast<void **>(pp);
}

#define IID_PPV_ARGS(pp) __uuidof(**(pp)), IID_PPV_ARGS_Helper(pp)

#endif
